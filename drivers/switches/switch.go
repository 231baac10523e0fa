package switches

import (
	"context"
	"fmt"
	"slices"
	"time"

	"caddyshack/baremetal"
)

// Config is what is decided about one switch. It holds no secrets: those are
// the backend's, which shows them to nobody.
type Config struct {
	// ID is what local_link_connection.switch_id says: a MAC address or an
	// OpenFlow datapath id.
	ID string `json:"id"`
	// Name is for people; "" = ID. It may be used in place of the ID.
	Name string `json:"name,omitempty"`
	// Uplinks lead to the controller and to other switches, Management ports to
	// what manages the switch. Neither is ever touched; and the native VLAN of a
	// management port is given to nobody.
	Uplinks    []string `json:"uplinks"`
	Management []string `json:"management,omitempty"`
	// Allowed VLANs may be given to ports; empty = 2 to 4094 (1 is where most
	// switches have their management).
	Allowed VLANSet `json:"allowed_vlans"`
	// IdleVLAN is for ports that nobody uses, beside Allowed; 0 = they carry nothing.
	IdleVLAN int `json:"idle_vlan,omitempty"`
	// ReportOnly: drift is shown and counted, and not repaired.
	ReportOnly bool `json:"report_only,omitempty"`
	// Timeout of one Apply, Plan or Read; 0 = 20 s.
	Timeout time.Duration `json:"-"`
}

// Switch is one switch of the configuration. Its methods may be called by many
// at once; they wait for each other.
type Switch struct {
	Config
	backend Backend
	lock    chan struct{} // held through each use of the backend
	// unsure: a command of this process or one before it may still be on its
	// way. It is refused once the switch's version is no longer sentFor, for
	// which it was made.
	unsure  bool
	sentFor string
}

// The time that an Apply waits after a round that changed nothing, and the
// rounds in a row that may change nothing.
const (
	firstPause  = 20 * time.Millisecond
	longPause   = time.Second
	idleRounds  = 6
	defaultTime = 20 * time.Second
	// drainTime is between the last port that leaves and the first that joins:
	// frames that wait in the switch's queues belong to the network of before.
	drainTime = 10 * time.Millisecond
)

// New makes a Switch of a configuration and a backend; the error says what is
// wrong with the configuration.
func New(c Config, b Backend) (*Switch, error) {
	if c.ID == "" {
		return nil, fmt.Errorf("a switch needs an id, as in the switch_id of local_link_connection")
	}
	if c.Allowed.Empty() {
		c.Allowed = VLANRange(FirstVLAN+1, LastVLAN)
	}
	for _, id := range c.Allowed.IDs() {
		if err := checkVLAN(id); err != nil {
			return nil, fmt.Errorf("switch %s: allowed_vlans: %w", c.ID, err)
		}
	}
	if c.IdleVLAN != 0 {
		if err := checkVLAN(c.IdleVLAN); err != nil {
			return nil, fmt.Errorf("switch %s: idle_vlan: %w", c.ID, err)
		}
		if c.Allowed.Has(c.IdleVLAN) {
			c.Allowed.Remove(c.IdleVLAN) // nobody's network
		}
	}
	if c.Name == "" {
		c.Name = c.ID
	}
	if c.Timeout == 0 {
		c.Timeout = defaultTime
	}
	return &Switch{Config: c, backend: b, lock: make(chan struct{}, 1), unsure: true}, nil
}

// Protected tells whether a port is never touched.
func (s *Switch) Protected(port string) bool {
	return slices.Contains(s.Uplinks, port) || slices.Contains(s.Management, port)
}

// Validate refuses, with kind Invalid, what this switch must never be asked for
// a port. It asks the switch nothing, so that unknown ports pass; Plan and
// Apply refuse those too.
func (s *Switch) Validate(port string, c PortConfig) error {
	refuse := func(format string, args ...any) error {
		return baremetal.Errorf(baremetal.Invalid, "switch %s, port %s: %w", s.Name, port, fmt.Errorf(format, args...))
	}
	if port == "" {
		return baremetal.Errorf(baremetal.Invalid, "switch %s: a port is needed: set port_id of local_link_connection", s.Name)
	}
	if slices.Contains(s.Uplinks, port) {
		return refuse("this is an uplink, which is never touched: correct port_id of local_link_connection, or the uplinks of the switch's configuration")
	}
	if slices.Contains(s.Management, port) {
		return refuse("this is a management port, which is never touched: correct port_id of local_link_connection, or the management of the switch's configuration")
	}
	if c.Mode == ModeIdle {
		if c != Idle() {
			return refuse("an idle port has no VLANs of its own")
		}
		return nil
	}
	if err := c.Check(); err != nil {
		return refuse("%w", err)
	}
	if more := c.VLANs().Minus(s.Allowed); !more.Empty() {
		return refuse("VLAN %s may not be used on this switch: its allowed_vlans are %s", more, s.Allowed)
	}
	return nil
}

// Describe tells what the switch is: kind Unavailable if it does not answer.
func (s *Switch) Describe(ctx context.Context) (Description, error) {
	ctx, cancel := context.WithTimeout(ctx, s.Timeout)
	defer cancel()
	unlock, err := s.acquire(ctx)
	if err != nil {
		return Description{}, err
	}
	defer unlock()
	return s.describe(ctx)
}

// Read returns what the switch says of all its ports: kind Unavailable if it
// does not answer.
func (s *Switch) Read(ctx context.Context) (State, error) {
	ctx, cancel := context.WithTimeout(ctx, s.Timeout)
	defer cancel()
	unlock, err := s.acquire(ctx)
	if err != nil {
		return State{}, err
	}
	defer unlock()
	return s.read(ctx)
}

// Plan says what Apply would do, and touches nothing; an empty plan means that
// the switch is what is wanted. Kinds: Invalid, Unavailable.
func (s *Switch) Plan(ctx context.Context, w Wanted) (Plan, error) {
	if err := s.validateAll(w); err != nil {
		return Plan{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, s.Timeout)
	defer cancel()
	unlock, err := s.acquire(ctx)
	if err != nil {
		return Plan{}, err
	}
	defer unlock()
	d, err := s.describe(ctx)
	if err != nil {
		return Plan{}, err
	}
	have, err := s.read(ctx)
	if err != nil {
		return Plan{}, err
	}
	return s.plan(d, have, w)
}

// Apply makes the switch what is wanted and returns the plan that it followed,
// once the switch itself says so and the change is in force for frames. It may
// be called again at any time; a switch that is right already is only read.
//
// Kinds: Invalid for what cannot be (nothing has been touched); Unavailable if
// the switch does not answer or does not take the change in time. After
// Unavailable each port named carries at most what it carried before or what
// was wanted, never a VLAN that is in neither; the error names the port.
func (s *Switch) Apply(ctx context.Context, w Wanted) (Plan, error) {
	return s.Settle(ctx, func(context.Context) (Wanted, error) { return w, nil })
}

// Settle is Apply of what intent returns, which is called under the switch's
// lock. Whoever writes down what is wanted before calling Apply is sure that no
// Settle brings back what was wanted earlier.
func (s *Switch) Settle(ctx context.Context, intent func(context.Context) (Wanted, error)) (Plan, error) {
	ctx, cancel := context.WithTimeout(ctx, s.Timeout)
	defer cancel()
	unlock, err := s.acquire(ctx)
	if err != nil {
		return Plan{}, err
	}
	defer unlock()
	w, err := intent(ctx)
	if err != nil {
		return Plan{}, err
	}
	if err := s.validateAll(w); err != nil {
		return Plan{}, err
	}
	d, err := s.describe(ctx)
	if err != nil {
		return Plan{}, err
	}
	return s.settle(ctx, d, w)
}

// compare is the plan for what intent says, and the switch's boot if it answered.
func (s *Switch) compare(ctx context.Context, intent Intent) (Plan, string, error) {
	ctx, cancel := context.WithTimeout(ctx, s.Timeout)
	defer cancel()
	unlock, err := s.acquire(ctx)
	if err != nil {
		return Plan{}, "", err
	}
	defer unlock()
	d, err := s.describe(ctx)
	if err != nil {
		return Plan{}, "", err
	}
	have, err := s.read(ctx)
	if err != nil {
		return Plan{}, "", err
	}
	w, err := intent(ctx, s.ID)
	if err == nil {
		err = s.validateAll(w)
	}
	if err != nil {
		return Plan{}, have.Boot, err
	}
	p, err := s.plan(d, have, w)
	return p, have.Boot, err
}

// settle goes round by round: read, and do what comes first. So a round that
// narrows is always confirmed by the next one's read before anything widens.
func (s *Switch) settle(ctx context.Context, d Description, w Wanted) (Plan, error) {
	var first, last Plan
	var trouble error
	pause, narrowed := firstPause, false
	for round, idle := 0, 0; ; round++ {
		have, err := s.read(ctx)
		if err == nil {
			var now Plan
			if now, err = s.plan(d, have, w); err != nil {
				return first, err
			}
			if round == 0 {
				first = now
			} else if samePlan(now, last) {
				idle++
			} else {
				idle, pause = 0, firstPause
			}
			last = now
			s.unsure = s.unsure && have.Version != "" && (s.sentFor == "" || s.sentFor == have.Version)
			switch {
			case idle >= idleRounds:
				return first, s.notTaken(now, trouble)
			case s.unsure && now.Empty():
				err = s.do(ctx, have.Version, nil)
			case now.Empty():
				return first, nil
			case len(now.Narrow) > 0:
				narrowed = true
				err = s.do(ctx, have.Version, now.Narrow)
			default: // with nothing to widen: only to finish
				if narrowed {
					time.Sleep(drainTime)
				}
				err = s.do(ctx, have.Version, now.Widen)
			}
		} else if idle++; idle >= idleRounds {
			return first, err
		}
		trouble = err
		if idle == 0 && err == nil {
			continue
		}
		select {
		case <-ctx.Done():
			return first, s.notTaken(last, trouble)
		case <-time.After(pause):
			pause = min(2*pause, longPause)
		}
	}
}

// do runs changes and notes that they may come late. With none it only makes the
// switch's version another.
func (s *Switch) do(ctx context.Context, version string, changes []Change) error {
	s.unsure, s.sentFor = true, version
	return s.backend.Do(ctx, version, changes)
}

func samePlan(a, b Plan) bool {
	return slices.Equal(a.Differences, b.Differences) && a.Unfinished == b.Unfinished
}

// notTaken is the error of a switch that is not what is wanted.
func (s *Switch) notTaken(p Plan, cause error) error {
	what := "it does not answer"
	if p.Unfinished {
		what = "a change that was cut short cannot be cleared away"
	}
	if len(p.Differences) > 0 {
		d := p.Differences[0]
		what = fmt.Sprintf("port %s does not take the change: it has %s, wanted is %s", d.Port, d.Have, d.Want)
		if more := len(p.Differences) - 1; more > 0 {
			what += fmt.Sprintf(" (and %d more ports)", more)
		}
	}
	if cause != nil {
		return baremetal.Errorf(baremetal.Unavailable, "switch %s: %s: %w", s.Name, what, cause)
	}
	return baremetal.Errorf(baremetal.Unavailable, "switch %s: %s; look at the switch, and at who else changes it", s.Name, what)
}

func (s *Switch) validateAll(w Wanted) error {
	for port, c := range w.Ports {
		if err := s.Validate(port, c); err != nil {
			return err
		}
	}
	return nil
}

// acquire takes the lock, or gives up with ctx.
func (s *Switch) acquire(ctx context.Context) (release func(), err error) {
	select {
	case s.lock <- struct{}{}:
		return func() { <-s.lock }, nil
	case <-ctx.Done():
		return nil, baremetal.Errorf(baremetal.Unavailable, "switch %s: waiting for another change of it to end: %w", s.Name, ctx.Err())
	}
}

func (s *Switch) describe(ctx context.Context) (Description, error) {
	d, err := s.backend.Describe(ctx)
	return d, s.unavailable(err)
}

func (s *Switch) read(ctx context.Context) (State, error) {
	st, err := s.backend.Read(ctx)
	return st, s.unavailable(err)
}

// unavailable gives a backend's error the switch's name and a kind.
func (s *Switch) unavailable(err error) error {
	if err == nil {
		return nil
	}
	return baremetal.Errorf(baremetal.Unavailable, "switch %s: %w", s.Name, err)
}

// Close frees what the backend holds; the switch stays as it is.
func (s *Switch) Close() error { return s.backend.Close() }
