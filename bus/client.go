package bus

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/url"
	"sync"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
)

// ErrNotConnected is returned by Publish while there is no connection.
var ErrNotConnected = errors.New("not connected to the MQTT broker")

// Message is one MQTT application message.
type Message struct {
	Topic    string
	Payload  []byte
	QoS      byte
	Retained bool
}

// ClientConfig says how to reach the broker and what to do with the connection.
type ClientConfig struct {
	// Broker is tcp://host:port or ssl://host:port.
	Broker string
	// ClientID must be unique at the broker; a second client with it throws the first one out.
	ClientID string
	User     string
	Password string
	// TLS is used for ssl://; nil = the system's roots.
	TLS *tls.Config
	// Will is published by the broker when the connection breaks; nil = none.
	Will *Message
	// KeepAlive is the interval of pings; 0 = 15 s, the contract's.
	KeepAlive time.Duration
	// Timeout limits dialling, the handshakes and each subscription; 0 = 5 s.
	Timeout time.Duration
	// BackOff is the longest wait before the first new attempt to connect; it doubles up to 32 times that. 0 = 1 s.
	BackOff time.Duration
	// Subscriptions are topic filters, made anew with every connection. They ask
	// for QoS 0 whatever the QoS a message is published with: a clean session
	// loses with the connection what was on its way, so QoS 1 would add nothing
	// on TCP but a queue at the broker; and the embedded broker's queue can lose a
	// message that comes while another client's queue is taken down.
	Subscriptions []string
	// OnMessage gets the messages one by one, in order; it may publish. nil = ignore them.
	OnMessage func(Message)
	// OnConnect is called when the subscriptions stand, before any message is
	// given to OnMessage; ctx ends with the connection. nil = nothing.
	OnConnect func(ctx context.Context)
	// OnLost is called when a connection that stood has ended; nil = nothing.
	OnLost func(err error)
	// Log gets connections and their ends; nil = discard.
	Log *slog.Logger
}

// Client is a connection to a broker that comes back by itself. Sessions are
// clean: nothing is queued at the broker, and nothing unsent survives a broken
// connection, so no command acts later than its sender knows.
type Client struct {
	cfg    ClientConfig
	log    *slog.Logger
	cancel context.CancelFunc
	done   chan struct{}

	mu      sync.Mutex
	session *session      // nil while not connected
	change  chan struct{} // closed and replaced whenever session or lastErr changes
	lastErr error
	abrupt  bool
}

// session is one connection from CONNECT to its end.
type session struct {
	paho mqtt.Client
	lost chan struct{}
	err  error // why it ended; read after lost is closed
	once sync.Once

	mu   sync.Mutex
	conn net.Conn // nil until dialled
	cut  bool
}

// dialled keeps the connection; it fails if the session was cut meanwhile.
func (s *session) dialled(conn net.Conn) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cut {
		_ = conn.Close()
		return net.ErrClosed
	}
	s.conn = conn
	return nil
}

// sever closes the connection without a word.
func (s *session) sever() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cut = true
	if s.conn != nil {
		_ = s.conn.Close()
	}
}

func (s *session) end(err error) {
	s.once.Do(func() { s.err = err; close(s.lost) })
}

// NewClient checks cfg and starts connecting in the background. Close ends it.
func NewClient(cfg ClientConfig) (*Client, error) {
	u, err := url.Parse(cfg.Broker)
	if err != nil || u.Host == "" || (u.Scheme != "tcp" && u.Scheme != "ssl") {
		return nil, fmt.Errorf("broker address %q: want tcp://host:port or ssl://host:port", cfg.Broker)
	}
	if cfg.ClientID == "" {
		return nil, errors.New("connecting to the MQTT broker: the client id is missing")
	}
	if cfg.KeepAlive == 0 {
		cfg.KeepAlive = 15 * time.Second
	}
	if cfg.Timeout == 0 {
		cfg.Timeout = 5 * time.Second
	}
	if cfg.BackOff == 0 {
		cfg.BackOff = time.Second
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	ctx, cancel := context.WithCancel(context.Background())
	c := &Client{
		cfg: cfg, log: cfg.Log.With("broker", cfg.Broker, "client", cfg.ClientID),
		cancel: cancel, done: make(chan struct{}), change: make(chan struct{}),
	}
	go c.run(ctx)
	return c, nil
}

// WaitConnected returns when the client is connected and has subscribed. If ctx
// ends first the error says why the last attempt failed.
func (c *Client) WaitConnected(ctx context.Context) error {
	for {
		c.mu.Lock()
		s, change, last := c.session, c.change, c.lastErr
		c.mu.Unlock()
		if s != nil {
			return nil
		}
		select {
		case <-change:
		case <-c.done:
			return fmt.Errorf("connecting to the MQTT broker at %s: the client is closed", c.cfg.Broker)
		case <-ctx.Done():
			if last == nil {
				last = ctx.Err()
			}
			return fmt.Errorf("connecting to the MQTT broker at %s: %w", c.cfg.Broker, last)
		}
	}
}

// Connected tells whether the connection stands.
func (c *Client) Connected() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.session != nil
}

// Publish sends m. With QoS 1 it returns when the broker has acknowledged it;
// an error with QoS 1 means that the broker may or may not have it. The wait
// ends with ctx or with the connection, whichever is first.
func (c *Client) Publish(ctx context.Context, m Message) error {
	c.mu.Lock()
	s := c.session
	c.mu.Unlock()
	if s == nil {
		return fmt.Errorf("publishing %q: %w", m.Topic, ErrNotConnected)
	}
	token := s.paho.Publish(m.Topic, m.QoS, m.Retained, m.Payload)
	select {
	case <-token.Done():
		if err := token.Error(); err != nil {
			return fmt.Errorf("publishing %q: %w", m.Topic, err)
		}
		return nil
	case <-s.lost:
		return fmt.Errorf("publishing %q: %w", m.Topic, ErrNotConnected)
	case <-ctx.Done():
		return fmt.Errorf("publishing %q: the broker has not confirmed it: %w", m.Topic, ctx.Err())
	}
}

// Resubscribe makes the subscriptions again, so that the broker sends all
// retained messages again. The embedded broker stores a retained message a
// moment after it has delivered it: who subscribes in between gets neither.
func (c *Client) Resubscribe(ctx context.Context) error {
	c.mu.Lock()
	s := c.session
	c.mu.Unlock()
	if s == nil {
		return fmt.Errorf("subscribing again: %w", ErrNotConnected)
	}
	return c.subscribe(ctx, s)
}

// Break cuts the present connection without a word, as a dead network would:
// the broker publishes the will. The client then connects anew.
func (c *Client) Break() {
	c.mu.Lock()
	s := c.session
	c.mu.Unlock()
	if s != nil {
		s.sever()
		s.end(errors.New("broken on purpose"))
	}
}

// Close disconnects in order (the will is not published) and waits until the
// client is gone.
func (c *Client) Close() {
	c.cancel()
	<-c.done
}

// Abort ends the client as a power failure would: the broker publishes the will.
func (c *Client) Abort() {
	c.mu.Lock()
	c.abrupt = true
	c.mu.Unlock()
	c.Close()
}

func (c *Client) set(s *session, err error) {
	c.mu.Lock()
	c.session, c.lastErr = s, err
	close(c.change)
	c.change = make(chan struct{})
	c.mu.Unlock()
}

func (c *Client) run(ctx context.Context) {
	defer close(c.done)
	wait := c.cfg.BackOff
	for {
		started := time.Now()
		err := c.serve(ctx)
		if ctx.Err() != nil {
			return
		}
		if time.Since(started) > 32*c.cfg.BackOff {
			wait = c.cfg.BackOff
		}
		pause := time.Duration(rand.Int64N(int64(wait)) + 1)
		c.log.Warn("no connection to the MQTT broker", "error", err, "retry_in", pause)
		wait = min(2*wait, 32*c.cfg.BackOff)
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return
		}
	}
}

// serve makes one connection and returns when it has ended.
func (c *Client) serve(ctx context.Context) error {
	s := &session{lost: make(chan struct{})}
	inbox := make(chan Message, 256)
	s.paho = mqtt.NewClient(c.options(ctx, s, inbox))
	if err := c.await(ctx, s, s.paho.Connect()); err != nil {
		c.hangUp(s)
		c.set(nil, err)
		return err
	}
	if err := c.subscribe(ctx, s); err != nil {
		c.hangUp(s)
		c.set(nil, err)
		return err
	}
	live, cancel := context.WithCancel(ctx)
	c.set(s, nil)
	c.log.Debug("connected to the MQTT broker")
	var work sync.WaitGroup
	work.Go(func() { c.deliver(live, inbox) })
	var err error
	select {
	case <-s.lost:
		err = s.err
	case <-ctx.Done():
		err = ctx.Err()
	}
	cancel()
	c.set(nil, err)
	c.hangUp(s)
	work.Wait()
	if c.cfg.OnLost != nil {
		c.cfg.OnLost(err)
	}
	return err
}

// refused is the return code of SUBACK for a filter that the user may not have.
const refused = 0x80

func (c *Client) subscribe(ctx context.Context, s *session) error {
	if len(c.cfg.Subscriptions) == 0 {
		return nil
	}
	filters := map[string]byte{}
	for _, filter := range c.cfg.Subscriptions {
		filters[filter] = 0
	}
	token := s.paho.SubscribeMultiple(filters, nil)
	if err := c.await(ctx, s, token); err != nil {
		return fmt.Errorf("subscribing: %w", err)
	}
	if t, ok := token.(*mqtt.SubscribeToken); ok {
		for filter, code := range t.Result() {
			if code == refused {
				return fmt.Errorf("subscribing: the broker does not let user %q read %q", c.cfg.User, filter)
			}
		}
	}
	return nil
}

func (c *Client) deliver(ctx context.Context, inbox <-chan Message) {
	if c.cfg.OnConnect != nil {
		c.cfg.OnConnect(ctx)
	}
	for {
		select {
		case <-ctx.Done():
			return
		case m := <-inbox:
			if c.cfg.OnMessage != nil {
				c.cfg.OnMessage(m)
			}
		}
	}
}

// hangUp ends the connection: politely if we want to go, else at once.
func (c *Client) hangUp(s *session) {
	c.mu.Lock()
	abrupt := c.abrupt
	c.mu.Unlock()
	if abrupt {
		s.sever()
	}
	s.end(context.Canceled)
	s.paho.Disconnect(100)
}

func (c *Client) await(ctx context.Context, s *session, token mqtt.Token) error {
	timer := time.NewTimer(c.cfg.Timeout)
	defer timer.Stop()
	select {
	case <-token.Done():
		return token.Error()
	case <-s.lost:
		return s.err
	case <-timer.C:
		return fmt.Errorf("no answer within %v", c.cfg.Timeout)
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (c *Client) options(ctx context.Context, s *session, inbox chan<- Message) *mqtt.ClientOptions {
	o := mqtt.NewClientOptions().AddBroker(c.cfg.Broker).SetClientID(c.cfg.ClientID).
		SetUsername(c.cfg.User).SetPassword(c.cfg.Password).
		SetCleanSession(true).SetProtocolVersion(4).SetOrderMatters(true).
		SetAutoReconnect(false).SetConnectRetry(false).
		SetKeepAlive(c.cfg.KeepAlive).SetPingTimeout(c.cfg.Timeout).
		SetConnectTimeout(c.cfg.Timeout).SetWriteTimeout(c.cfg.Timeout)
	if w := c.cfg.Will; w != nil {
		o.SetBinaryWill(w.Topic, w.Payload, w.QoS, w.Retained)
	}
	o.SetConnectionLostHandler(func(_ mqtt.Client, err error) { s.end(err) })
	o.SetDefaultPublishHandler(func(_ mqtt.Client, m mqtt.Message) {
		select {
		case inbox <- Message{Topic: m.Topic(), Payload: m.Payload(), QoS: m.Qos(), Retained: m.Retained()}:
		case <-s.lost:
		case <-ctx.Done():
		}
	})
	o.SetCustomOpenConnectionFn(func(u *url.URL, _ mqtt.ClientOptions) (net.Conn, error) {
		conn, err := c.dial(ctx, u)
		if err != nil {
			return nil, err
		}
		return conn, s.dialled(conn)
	})
	return o
}

func (c *Client) dial(ctx context.Context, u *url.URL) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, c.cfg.Timeout)
	defer cancel()
	var d net.Dialer
	if u.Scheme == "ssl" {
		return (&tls.Dialer{NetDialer: &d, Config: c.cfg.TLS}).DialContext(ctx, "tcp", u.Host)
	}
	return d.DialContext(ctx, "tcp", u.Host)
}
