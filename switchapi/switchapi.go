package switchapi

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"slices"

	"github.com/gorilla/mux"

	"caddyshack/baremetal"
	"caddyshack/drivers/networks"
	"caddyshack/drivers/switches"
	"caddyshack/ironicapi"
)

// Prefix is what all paths begin with.
const Prefix = "/caddyshack/v1/"

// Config is what the API needs.
type Config struct {
	// Networks knows the switches, and what they shall be.
	Networks *networks.Driver
	// Drift knows how the switches have fared; nil = another process watches them.
	Drift *switches.Drift
	// Auth tells who asks; nil = noauth.
	Auth ironicapi.Authenticator
	// Log is told of what was applied; nil = nothing is logged.
	Log *slog.Logger
}

// Summary is a switch in short.
type Summary struct {
	ID    string `json:"id"`
	Name  string `json:"name"`
	Kind  string `json:"kind,omitempty"`
	Model string `json:"model,omitempty"`
	Ports int    `json:"ports"`
	// Used is the number of ports that shall carry a network.
	Used int `json:"used"`
	// Differences is the number of ports that are not what the database wants.
	Differences int `json:"differences"`
	// Error is why the switch does not tell, "" if it does.
	Error string `json:"error,omitempty"`
}

// Detail is a switch with its ports.
type Detail struct {
	Summary
	Uplinks      []string              `json:"uplinks"`
	Management   []string              `json:"management"`
	Allowed      string                `json:"allowed_vlans"`
	IdleVLAN     int                   `json:"idle_vlan"`
	Capabilities switches.Capabilities `json:"capabilities"`
	Limits       switches.Limits       `json:"limits"`
	PortList     []Port                `json:"port_list"`
	// Plan says in words what an apply would change.
	Plan []string `json:"plan"`
	// Drift is what was seen of the switch by who watches it.
	Drift *switches.DriftState `json:"drift,omitempty"`
}

// Port is a port of a switch.
type Port struct {
	switches.Port
	Protected bool `json:"protected"`
	// Has is what it carries, Want what the database wants, both in words; Want
	// is "" for ports that are left as they are.
	Has  string `json:"has"`
	Want string `json:"want,omitempty"`
}

// Plan is the answer of plan and apply.
type Plan struct {
	switches.Plan
	// Words says line by line what would be, or was, changed.
	Words []string `json:"words"`
}

// Network is a network of the configuration.
type Network struct {
	Name     string                  `json:"name"`
	VLAN     int                     `json:"vlan"`
	Address  string                  `json:"address,omitempty"`
	Purposes []baremetal.NetworkKind `json:"purposes"`
}

type handler struct{ Config }

// New returns the handler of all paths below Prefix.
func New(c Config) http.Handler {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	h := &handler{c}
	r := mux.NewRouter()
	answer := func(path, method string, f func(*http.Request) (any, error)) {
		r.Path(Prefix + path).Methods(method).HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			out, err := f(r)
			if err != nil {
				ironicapi.Fail(w, r, err)
				return
			}
			text, err := json.Marshal(out)
			if err != nil {
				ironicapi.Fail(w, r, err)
				return
			}
			w.Header().Set("Content-Type", "application/json")
			_, _ = w.Write(append(text, '\n')) // a client that went away is nobody's error
		})
	}
	answer("switches", http.MethodGet, h.list)
	answer("switches/{id}", http.MethodGet, h.show)
	answer("switches/{id}/plan", http.MethodGet, h.plan)
	answer("switches/{id}/apply", http.MethodPost, h.apply)
	answer("networks", http.MethodGet, h.networks)
	r.NotFoundHandler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ironicapi.Fail(w, r, baremetal.Errorf(baremetal.NotFound, "There is no %s here.", r.URL.Path))
	})
	r.MethodNotAllowedHandler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ironicapi.Fail(w, r, baremetal.Errorf(baremetal.MethodNotAllowed, "%s cannot be done with %s.", r.Method, r.URL.Path))
	})
	return ironicapi.AdminOnly(c.Auth, r)
}

// find looks the switch of a request up; kind NotFound lists those that there are.
func (h *handler) find(r *http.Request) (*switches.Switch, error) {
	s, err := h.Networks.Fleet.Switch(mux.Vars(r)["id"])
	if err != nil {
		return nil, baremetal.Errorf(baremetal.NotFound, "%w", err)
	}
	return s, nil
}

func (h *handler) list(r *http.Request) (any, error) {
	all := []Summary{}
	for _, s := range h.Networks.Fleet.All() {
		d, err := h.detail(r.Context(), s)
		if err != nil {
			d.Error = err.Error() // the others are shown all the same
		}
		all = append(all, d.Summary)
	}
	return map[string]any{"switches": all}, nil
}

func (h *handler) show(r *http.Request) (any, error) {
	s, err := h.find(r)
	if err != nil {
		return nil, err
	}
	d, err := h.detail(r.Context(), s)
	if err != nil {
		d.Error = err.Error()
	}
	return d, nil
}

// detail says what of the switch is known, also with an error.
func (h *handler) detail(ctx context.Context, s *switches.Switch) (Detail, error) {
	out := Detail{Summary: Summary{ID: s.ID, Name: s.Name}, Uplinks: append([]string{}, s.Uplinks...), Management: append([]string{}, s.Management...),
		Allowed: s.Allowed.String(), IdleVLAN: s.IdleVLAN, PortList: []Port{}, Plan: []string{}}
	if h.Drift != nil {
		if seen, ok := h.Drift.States()[s.ID]; ok {
			out.Drift = &seen
		}
	}
	want, err := h.Networks.Intent(ctx, s.ID)
	if err != nil {
		return out, err
	}
	about, err := s.Describe(ctx)
	if err != nil {
		return out, err
	}
	out.Kind, out.Model, out.Capabilities, out.Limits = about.Kind, about.Model, about.Capabilities, about.Limits
	state, err := s.Read(ctx)
	if err != nil {
		return out, err
	}
	for _, p := range about.Ports {
		port := Port{Port: p, Protected: s.Protected(p.Name), Has: state.Ports[p.Name].String()}
		config, named := want.Ports[p.Name]
		switch {
		case port.Protected:
		case named:
			port.Want = config.String()
			if config.Mode != switches.ModeIdle {
				out.Used++
			}
		case want.RestIdle:
			port.Want = switches.Idle().String()
		}
		out.PortList = append(out.PortList, port)
	}
	out.Ports = len(about.Ports)
	plan, err := s.Plan(ctx, want)
	if err != nil {
		return out, err
	}
	out.Differences, out.Plan = len(plan.Differences), append(out.Plan, plan.Words()...)
	return out, nil
}

func words(p switches.Plan) Plan {
	return Plan{p, append([]string{}, p.Words()...)}
}

func (h *handler) plan(r *http.Request) (any, error) {
	s, err := h.find(r)
	if err != nil {
		return nil, err
	}
	want, err := h.Networks.Intent(r.Context(), s.ID)
	if err != nil {
		return nil, err
	}
	p, err := s.Plan(r.Context(), want)
	if err != nil {
		return nil, err
	}
	return words(p), nil
}

func (h *handler) apply(r *http.Request) (any, error) {
	s, err := h.find(r)
	if err != nil {
		return nil, err
	}
	p, err := s.Settle(r.Context(), func(ctx context.Context) (switches.Wanted, error) { return h.Networks.Intent(ctx, s.ID) })
	if err != nil {
		return nil, err
	}
	for _, line := range p.Words() {
		h.Log.Info("switch applied", "switch", s.Name, "change", line)
	}
	return words(p), nil
}

func (h *handler) networks(*http.Request) (any, error) {
	all := []Network{}
	for _, n := range h.Networks.Catalog.All() {
		out := Network{Name: n.Name, VLAN: n.VLAN, Purposes: append([]baremetal.NetworkKind{}, n.Purposes...)}
		if n.Server.IsValid() {
			out.Address = n.Server.String()
		}
		all = append(all, out)
	}
	slices.SortFunc(all, func(a, b Network) int { return a.VLAN - b.VLAN })
	return map[string]any{"networks": all}, nil
}
