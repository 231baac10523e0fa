package conductor

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"caddyshack/baremetal"
	"caddyshack/drivers"
)

// Keys of driver_internal_info about the agent on a machine. The token's own
// text is kept nowhere: what is kept is its SHA-256.
const (
	agentTokenKey     = "agent_secret_token"
	agentURLKey       = "agent_url"
	agentVersionKey   = "agent_version"
	agentVerifyCAKey  = "agent_verify_ca"
	agentHeartbeatKey = "agent_last_heartbeat"
)

func agentKeys() []string {
	return []string{agentTokenKey, agentURLKey, agentVersionKey, agentVerifyCAKey, agentHeartbeatKey}
}

// forgetAgent removes what belongs to one run of the agent: the next one gets a token of its own.
func forgetAgent(n *baremetal.Node) {
	if strings.Contains(string(n.DriverInternalInfo), `"agent_`) {
		n.DriverInternalInfo = n.DriverInternalInfo.Without(agentKeys()...)
	}
}

// agentStates are those in which an agent may run on a machine.
func agentStates() []baremetal.ProvisionState {
	return []baremetal.ProvisionState{
		baremetal.Deploying, baremetal.DeployWait, baremetal.DeployHold, baremetal.Cleaning, baremetal.CleanWait, baremetal.CleanHold,
		baremetal.Inspecting, baremetal.InspectWait, baremetal.Rescuing, baremetal.RescueWait,
		baremetal.Servicing, baremetal.ServiceWait, baremetal.ServiceHold,
	}
}

// expectsAgent tells whether an agent may report for the node now.
func (c *Conductor) expectsAgent(n *baremetal.Node) bool {
	if !slices.Contains(agentStates(), n.ProvisionState) {
		return false
	}
	kind := "deploy"
	switch n.ProvisionState {
	case baremetal.Inspecting, baremetal.InspectWait:
		kind = "inspect"
	case baremetal.Rescuing, baremetal.RescueWait:
		kind = "rescue"
	}
	impl, err := c.Registry.Interface(n, kind)
	if err != nil {
		return false
	}
	a, ok := impl.(drivers.AgentUser)
	return ok && a.ExpectsAgent(n)
}

func noSuchNode() error { return baremetal.Errorf(baremetal.NotFound, "Node could not be found.") }

// Lookup finds the node of an agent by uuid or, without one, by the addresses
// of its ports. Unknown nodes and those that expect no agent are kind NotFound
// alike. The token is given once; after that it is empty.
func (c *Conductor) Lookup(ctx context.Context, uuid string, addresses []string) (n baremetal.Node, token string, err error) {
	n, err = c.nodeOf(ctx, uuid, addresses)
	if err != nil || !c.expectsAgent(&n) {
		if err == nil || baremetal.IsKind(err, baremetal.NotFound) {
			err = noSuchNode()
		}
		return baremetal.Node{}, "", err
	}
	var raw [32]byte
	if _, err := rand.Read(raw[:]); err != nil {
		return n, "", fmt.Errorf("making a token: %w", err)
	}
	fresh := base64.RawURLEncoding.EncodeToString(raw[:])
	n, err = c.whenFree(ctx, n.UUID, func(n *baremetal.Node, _ time.Time) error {
		token = ""
		if !c.expectsAgent(n) {
			return noSuchNode()
		}
		if n.DriverInternalInfo.Str(agentTokenKey) == "" {
			token = fresh
			n.DriverInternalInfo = n.DriverInternalInfo.With(agentTokenKey, hashToken(fresh))
		}
		return nil
	})
	return n, token, err
}

func hashToken(token string) string {
	sum := sha256.Sum256([]byte(token))
	return hex.EncodeToString(sum[:])
}

// nodeOf finds the one node that has a uuid or any of the addresses.
func (c *Conductor) nodeOf(ctx context.Context, uuid string, addresses []string) (baremetal.Node, error) {
	if uuid != "" {
		return c.Store.Node(ctx, uuid)
	}
	found := ""
	for _, a := range addresses {
		ports, err := c.Store.Ports(ctx, baremetal.PortQuery{Address: &a})
		if err != nil {
			return baremetal.Node{}, err
		}
		for _, p := range ports {
			if found != "" && found != p.NodeUUID { // two nodes: neither can be meant
				return baremetal.Node{}, noSuchNode()
			}
			found = p.NodeUUID
		}
	}
	if found == "" {
		return baremetal.Node{}, noSuchNode()
	}
	return c.Store.Node(ctx, found)
}

// HeartbeatRequest is a sign of life of the agent on a machine.
type HeartbeatRequest struct {
	CallbackURL, Version, Token, VerifyCA string
	// Status is start, end, error or empty; Message goes with it.
	Status, Message string
}

// Heartbeat records a sign of life. A wrong or missing token is kind
// Unauthorized; nothing is ever fetched from the callback URL here.
func (c *Conductor) Heartbeat(ctx context.Context, uuid string, r HeartbeatRequest) error {
	if err := checkCallback(r.CallbackURL); err != nil {
		return err
	}
	n, err := c.whenFree(ctx, uuid, func(n *baremetal.Node, now time.Time) error {
		info := n.DriverInternalInfo
		want := info.Str(agentTokenKey)
		if want == "" || r.Token == "" || subtle.ConstantTimeCompare([]byte(want), []byte(hashToken(r.Token))) != 1 || !c.expectsAgent(n) {
			return baremetal.Errorf(baremetal.Unauthorized, "Invalid or missing agent token received.")
		}
		if known := info.Str(agentURLKey); known != "" && known != r.CallbackURL {
			return baremetal.Errorf(baremetal.Invalid, "The agent's callback_url cannot change while it runs.")
		}
		at := now.UTC().Format(time.RFC3339)
		for key, value := range map[string]string{agentURLKey: r.CallbackURL, agentVersionKey: r.Version, agentVerifyCAKey: r.VerifyCA, agentHeartbeatKey: at} {
			if value != "" {
				info = info.With(key, value)
			}
		}
		n.DriverInternalInfo = info
		if !n.ProvisionState.Waiting() { // standing still: recorded, not acted upon
			return nil
		}
		n.Work.Journal = n.Work.Journal.With(drivers.HeartbeatKey, at)
		if r.Status != "" {
			n.Work.Journal = n.Work.Journal.With(drivers.AgentStatusKey, r.Status).With(drivers.AgentMessageKey, r.Message)
		}
		c.take(n, now)
		return nil
	})
	if err == nil && n.ProvisionState.Waiting() && n.Work.ClaimOwner == c.owner {
		c.begin(n)
	}
	return err
}

// checkCallback refuses addresses that no agent on another machine can have.
func checkCallback(text string) error {
	if text == "" { // an installer that only reports
		return nil
	}
	u, err := url.Parse(text)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" || u.User != nil {
		return baremetal.Errorf(baremetal.Invalid, "callback_url must be an http or https URL of the agent.")
	}
	host := u.Hostname()
	ip, err := netip.ParseAddr(host)
	if err != nil {
		if strings.EqualFold(host, "localhost") || strings.HasSuffix(strings.ToLower(host), ".localhost") {
			return baremetal.Errorf(baremetal.Invalid, "callback_url must not name this machine.")
		}
		return nil
	}
	ip = ip.Unmap()
	if ip.IsLoopback() || ip.IsUnspecified() || ip.IsMulticast() || ip.Is4() && ip.IsLinkLocalUnicast() {
		return baremetal.Errorf(baremetal.Invalid, "callback_url has the address %s, which no agent can have.", ip)
	}
	return nil
}

// ContinueInspection takes the findings of an inspection agent for the node with
// that uuid or, without one, with any of the addresses. A node that waits for
// none is kind NotFound.
func (c *Conductor) ContinueInspection(ctx context.Context, uuid string, addresses []string, inventory, pluginData map[string]any) (string, error) {
	n, err := c.nodeOf(ctx, uuid, addresses)
	if err != nil && !baremetal.IsKind(err, baremetal.NotFound) {
		return "", err
	}
	if err != nil || n.ProvisionState != baremetal.InspectWait || !c.expectsAgent(&n) {
		return "", noSuchNode()
	}
	body, err := baremetal.NewObject(map[string]any{"inventory": inventory, "plugin_data": pluginData})
	if err != nil {
		return "", err
	}
	err = c.Store.ChangeDocument(ctx, n.UUID, baremetal.InventoryDocument, 0, func(baremetal.Object) (baremetal.Object, error) { return body, nil })
	if err != nil {
		return "", err
	}
	n, err = c.whenFree(ctx, n.UUID, func(n *baremetal.Node, now time.Time) error {
		if n.ProvisionState != baremetal.InspectWait {
			return noSuchNode()
		}
		n.Work.Journal = n.Work.Journal.With(drivers.FindingsKey, now.UTC().Format(time.RFC3339))
		c.take(n, now)
		return nil
	})
	if err != nil {
		return "", err
	}
	if n.Work.ClaimOwner == c.owner {
		c.begin(n)
	}
	return n.UUID, nil
}
