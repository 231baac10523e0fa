package bus

import (
	"encoding/json"
	"fmt"
)

// Encode returns the wire form of a payload type of this package. It fails if
// the result would exceed MaxPayload.
func Encode(payload any) ([]byte, error) {
	b, err := json.Marshal(payload)
	if err != nil {
		return nil, fmt.Errorf("encoding %T: %w", payload, err)
	}
	if len(b) > MaxPayload {
		return nil, fmt.Errorf("encoding %T: %d bytes, at most %d are allowed", payload, len(b), MaxPayload)
	}
	return b, nil
}

// MarshalJSON writes only the fields that the command's op has.
func (c SlotCommand) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		ID    string `json:"id"`
		Op    Op     `json:"op"`
		Epoch uint32 `json:"epoch"`
		Boot  uint32 `json:"boot"`
		Exp   uint32 `json:"exp"`
		WaitS int    `json:"wait_s,omitempty"`
		LED   LED    `json:"led,omitempty"`
	}(c))
}

// MarshalJSON writes only the fields that the command's op has.
func (c UnitCommand) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		ID   string `json:"id"`
		Op   Op     `json:"op"`
		Boot uint32 `json:"boot"`
		Exp  uint32 `json:"exp"`
		UnitConfig
		URL    string `json:"url,omitempty"`
		SHA256 string `json:"sha256,omitempty"`
	}{c.ID, c.Op, c.Boot, c.Exp, c.Config, c.URL, c.SHA256})
}
