package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack/baremetal/httpbasic"
	"github.com/gophercloud/gophercloud/v2/openstack/baremetal/noauth"
	"github.com/gophercloud/gophercloud/v2/openstack/baremetal/v1/nodes"
)

// api says where the service is. The variables are those of the openstack
// CLI, so that one set of exports serves both.
type api struct {
	Endpoint string `env:"OS_ENDPOINT" default:"http://127.0.0.1:6385" help:"Where the API is (${env}, default ${default})."`
	Username string `env:"OS_USERNAME" help:"User for http_basic (${env})."`
	Password string `env:"OS_PASSWORD" help:"Password for http_basic (${env})."`
	CACert   string `name:"os-cacert" env:"OS_CACERT" help:"File of certificates (PEM) to believe besides the system's (${env})."`
}

// clientMicroversion is what our own commands are written for.
const clientMicroversion = "1.82"

func (a api) client() (*gophercloud.ServiceClient, error) {
	u, err := url.Parse(a.Endpoint)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
		return nil, &configError{fmt.Sprintf("endpoint %q is not a URL like http://127.0.0.1:6385; set OS_ENDPOINT or --endpoint", a.Endpoint)}
	}
	endpoint := strings.TrimSuffix(strings.TrimSuffix(a.Endpoint, "/"), "/v1") + "/v1/"
	if (a.Username == "") != (a.Password == "") {
		return nil, &configError{"http_basic needs both OS_USERNAME and OS_PASSWORD, and only one of them is set; unset it for a service that asks for neither"}
	}
	var c *gophercloud.ServiceClient
	if a.Username != "" {
		c, err = httpbasic.NewBareMetalHTTPBasic(httpbasic.EndpointOpts{
			IronicEndpoint: endpoint, IronicUser: a.Username, IronicUserPassword: a.Password})
	} else {
		c, err = noauth.NewBareMetalNoAuth(noauth.EndpointOpts{IronicEndpoint: endpoint})
	}
	if err != nil {
		return nil, err
	}
	c.Microversion = clientMicroversion
	own, err := a.httpClient()
	if err != nil {
		return nil, err
	}
	c.HTTPClient.Timeout, c.HTTPClient.Transport = time.Minute, own.Transport
	return c, nil
}

// httpClient is for what is not the Ironic API; it believes the same certificates.
func (a api) httpClient() (*http.Client, error) {
	if a.CACert == "" {
		return &http.Client{}, nil
	}
	file := a.CACert
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, &configError{fmt.Sprintf("reading the certificates to believe: %v; check OS_CACERT or --os-cacert", err)}
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool()
	}
	if !pool.AppendCertsFromPEM(text) {
		return nil, &configError{fmt.Sprintf("%s holds no PEM certificate; check OS_CACERT or --os-cacert", file)}
	}
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.TLSClientConfig = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
	return &http.Client{Transport: t}, nil
}

// explain turns a client's error into what the service said, and what to do.
func (a api) explain(err error) error {
	var status gophercloud.ErrUnexpectedResponseCode
	if errors.As(err, &status) {
		return a.explainStatus(&status)
	}
	var netErr *url.Error
	if !errors.As(err, &netErr) || errors.Is(err, context.Canceled) {
		return err
	}
	var untrusted *tls.CertificateVerificationError
	switch {
	case errors.As(err, &untrusted):
		return fmt.Errorf("the certificate of %s is not believed (%w): name the file of its authority with OS_CACERT or --os-cacert", a.Endpoint, untrusted)
	case strings.Contains(err.Error(), "HTTP response to HTTPS client"): // net/http has no value for it
		return fmt.Errorf("%s speaks no TLS: use http:// in OS_ENDPOINT or --endpoint", a.Endpoint)
	}
	return fmt.Errorf("no answer from %s (%w): is caddyshack running there? Set OS_ENDPOINT or --endpoint if it is elsewhere", a.Endpoint, netErr.Err)
}

func (a api) explainStatus(status *gophercloud.ErrUnexpectedResponseCode) error {
	if status.Actual == http.StatusUnauthorized {
		switch {
		case strings.HasPrefix(status.ResponseHeader.Get("WWW-Authenticate"), "Keystone"):
			return errors.New("the service wants a token of Keystone, which this command cannot get: use the openstack client (openstack baremetal …)")
		case a.Username == "":
			return errors.New("the service asks who you are: set OS_USERNAME and OS_PASSWORD")
		}
		return fmt.Errorf("the service does not let %q in: check OS_USERNAME and OS_PASSWORD", a.Username)
	}
	var body struct {
		Message json.RawMessage `json:"error_message"`
		Error   struct {        // of http_basic
			Message string `json:"message"`
		} `json:"error"`
	}
	var fault struct {
		Text  string `json:"faultstring"`
		Title string `json:"title"`
		Desc  string `json:"description"`
	}
	if json.Unmarshal(status.Body, &body) == nil {
		if body.Error.Message != "" {
			return errors.New(body.Error.Message)
		}
		var text string
		if json.Unmarshal(body.Message, &text) == nil && json.Unmarshal([]byte(text), &fault) == nil {
			if s := strings.TrimSpace(fault.Text + fault.Title + " " + fault.Desc); s != "" {
				return errors.New(s)
			}
		}
	}
	if strings.Contains(string(status.Body), "HTTP request to an HTTPS server") {
		return fmt.Errorf("%s speaks TLS: use https:// in OS_ENDPOINT or --endpoint", a.Endpoint)
	}
	return fmt.Errorf("%s answered %d: is that the address of caddyshack's API? Set OS_ENDPOINT or --endpoint", a.Endpoint, status.Actual)
}

// nodeView is what our commands read of a node, beyond what gophercloud decodes.
type nodeView struct {
	nodes.Node
	Internal map[string]any `json:"driver_internal_info"`
}

func getNode(ctx context.Context, c *gophercloud.ServiceClient, ident string) (*nodeView, error) {
	r := nodes.Get(ctx, c, url.PathEscape(ident))
	n, err := r.Extract()
	if err != nil {
		return nil, err
	}
	return &nodeView{Node: *n, Internal: n.DriverInternalInfo}, nil
}

// waitingFor is what the conductor says the node waits for, "" if nothing.
func (n *nodeView) waitingFor() string {
	w, _ := n.Internal["waiting"].(map[string]any)
	s, _ := w["for"].(string)
	return s
}

// settled tells whether nothing is going on with the node.
func (n *nodeView) settled() bool { return n.TargetPowerState == "" && n.Reservation == "" }

// watch polls the node until done says so; if it is shown under a name, people
// are told what changes.
func watch(ctx context.Context, c *gophercloud.ServiceClient, ident, shown string, timeout time.Duration, done func(*nodeView) (bool, error)) error {
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, fmt.Errorf("node %s is not there yet after %s; it goes on by itself: see `caddyshack show %s`", ident, timeout, ident))
	defer cancel()
	last := ""
	for {
		n, err := getNode(ctx, c, ident)
		if err != nil {
			if cause := context.Cause(ctx); cause != nil {
				return cause
			}
			return err
		}
		now := n.ProvisionState
		if w := n.waitingFor(); w != "" {
			now += ": " + w
		}
		if shown != "" && now != last {
			fmt.Fprintf(os.Stderr, "%s  %s  %s\n", time.Now().Format("15:04:05"), shown, oneLine(now))
			last = now
		}
		if ok, err := done(n); ok || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(pollEvery):
		}
	}
}

const pollEvery = 200 * time.Millisecond
