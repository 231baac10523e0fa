package switches

import (
	"encoding/json"
	"fmt"
	"math/bits"
	"strconv"
	"strings"

	"caddyshack/baremetal"
)

// The VLAN ids that networks may have (IEEE 802.1Q: 0 is "no VLAN" and 4095 is reserved).
const (
	FirstVLAN = 1
	LastVLAN  = 4094
)

// VLANSet is a set of VLAN ids from 0 to 4095. The zero value is empty; sets
// can be compared with ==. In JSON it is a list of numbers; it is read also from
// numbers and ranges in words ("10,20-30").
type VLANSet struct{ words [64]uint64 }

// VLANs makes a set of ids.
func VLANs(ids ...int) VLANSet {
	var s VLANSet
	for _, id := range ids {
		s.Add(id)
	}
	return s
}

// VLANRange makes a set of the ids from first to last.
func VLANRange(first, last int) VLANSet {
	var s VLANSet
	for id := first; id <= last; id++ {
		s.Add(id)
	}
	return s
}

// Has tells whether id is in the set.
func (s VLANSet) Has(id int) bool {
	return id >= 0 && id < 4096 && s.words[id/64]&(1<<(id%64)) != 0
}

// Add adds an id; ids beyond 0 to 4095 are left out.
func (s *VLANSet) Add(id int) {
	if id >= 0 && id < 4096 {
		s.words[id/64] |= 1 << (id % 64)
	}
}

// Remove takes an id out.
func (s *VLANSet) Remove(id int) {
	if id >= 0 && id < 4096 {
		s.words[id/64] &^= 1 << (id % 64)
	}
}

// And returns what both sets have.
func (s VLANSet) And(o VLANSet) VLANSet {
	for i := range s.words {
		s.words[i] &= o.words[i]
	}
	return s
}

// Or returns what either set has.
func (s VLANSet) Or(o VLANSet) VLANSet {
	for i := range s.words {
		s.words[i] |= o.words[i]
	}
	return s
}

// Minus returns what s has and o has not.
func (s VLANSet) Minus(o VLANSet) VLANSet {
	for i := range s.words {
		s.words[i] &^= o.words[i]
	}
	return s
}

// Empty tells whether nothing is in the set.
func (s VLANSet) Empty() bool { return s == VLANSet{} }

// Len counts the ids.
func (s VLANSet) Len() int {
	n := 0
	for _, w := range s.words {
		n += bits.OnesCount64(w)
	}
	return n
}

// IDs lists the ids in order.
func (s VLANSet) IDs() []int {
	ids := make([]int, 0, s.Len())
	for i, w := range s.words {
		for ; w != 0; w &= w - 1 {
			ids = append(ids, i*64+bits.TrailingZeros64(w))
		}
	}
	return ids
}

// String writes the set as numbers and ranges: "10,20-30".
func (s VLANSet) String() string {
	var b strings.Builder
	ids := s.IDs()
	for i := 0; i < len(ids); {
		end := i
		for end+1 < len(ids) && ids[end+1] == ids[end]+1 {
			end++
		}
		if b.Len() > 0 {
			b.WriteByte(',')
		}
		b.WriteString(strconv.Itoa(ids[i]))
		if end > i {
			b.WriteString("-" + strconv.Itoa(ids[end]))
		}
		i = end + 1
	}
	return b.String()
}

// ParseVLANs reads numbers and ranges from 1 to 4094: "10,20-30". The error is
// of kind Invalid.
func ParseVLANs(text string) (VLANSet, error) {
	var s VLANSet
	for part := range strings.SplitSeq(text, ",") {
		from, to, isRange := strings.Cut(strings.TrimSpace(part), "-")
		first, err := parseVLAN(from)
		if err != nil {
			return VLANSet{}, err
		}
		last := first
		if isRange {
			if last, err = parseVLAN(to); err != nil {
				return VLANSet{}, err
			}
		}
		if last < first {
			return VLANSet{}, baremetal.Errorf(baremetal.Invalid, "%q is no range of VLANs: write the lower one first, like \"20-30\"", part)
		}
		s = s.Or(VLANRange(first, last))
	}
	return s, nil
}

func parseVLAN(text string) (int, error) {
	text = strings.TrimSpace(text)
	id, err := strconv.Atoi(text)
	if err != nil {
		return 0, baremetal.Errorf(baremetal.Invalid, "%.40q is no VLAN: write a number from %d to %d, or a range like \"20-30\"", text, FirstVLAN, LastVLAN)
	}
	return id, checkVLAN(id)
}

func checkVLAN(id int) error {
	if id < FirstVLAN || id > LastVLAN {
		return baremetal.Errorf(baremetal.Invalid, "VLAN %d cannot be: VLANs go from %d to %d", id, FirstVLAN, LastVLAN)
	}
	return nil
}

// MarshalJSON writes a list of numbers.
func (s VLANSet) MarshalJSON() ([]byte, error) { return json.Marshal(s.IDs()) }

// UnmarshalJSON reads a list of numbers and words, or words alone.
func (s *VLANSet) UnmarshalJSON(b []byte) error {
	var items []json.RawMessage
	if json.Unmarshal(b, &items) != nil {
		items = []json.RawMessage{b}
	}
	var all VLANSet
	for _, item := range items {
		text := string(item)
		var quoted string
		if json.Unmarshal(item, &quoted) == nil {
			text = quoted
		}
		part, err := ParseVLANs(text)
		if err != nil {
			return err
		}
		all = all.Or(part)
	}
	*s = all
	return nil
}

// UnmarshalText reads the form of ParseVLANs, for configuration files.
func (s *VLANSet) UnmarshalText(b []byte) error {
	parsed, err := ParseVLANs(string(b))
	if err != nil {
		return fmt.Errorf("reading VLANs: %w", err)
	}
	*s = parsed
	return nil
}
