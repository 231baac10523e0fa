package ironicapi_test

import (
	"bytes"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"caddyshack/ironicapi"
)

// TestHeartbeatsOfStrangers: only who got the token is believed, from one
// address, and nobody is called back.
func TestHeartbeatsOfStrangers(t *testing.T) {
	t.Parallel()
	r, _ := newRealRig(t)
	var called atomic.Int32
	trap := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { called.Add(1) }))
	defer trap.Close()
	id := r.available(map[string]any{"driver_info": map[string]any{"fake_wait": "deploy"}})
	r.must(201, "POST", "/v1/ports", map[string]any{"node_uuid": id, "address": "aa:bb:cc:dd:ee:01"})
	r.provision(id, "active", "wait call-back")
	const lookup = "/v1/lookup?addresses=aa:bb:cc:dd:ee:01"
	token := func() string {
		config, _ := r.at(115, "GET", lookup, nil).body["config"].(map[string]any)
		s, _ := config["agent_token"].(string)
		return s
	}
	good := token()
	if len(good) != 43 {
		t.Fatalf("the first lookup gave the token %q", good)
	}
	if again := token(); again != "******" {
		t.Errorf("a second lookup gave %q", again)
	}
	beat := func(url, token string) map[string]any {
		return map[string]any{"callback_url": url, "agent_token": token, "agent_status": "start"}
	}
	at := "/v1/heartbeat/" + id
	r.calls(
		call{"POST", at, beat(trap.URL, good), 115, 400, "no agent can have"}, // loopback
		call{"POST", at, beat("http://169.254.169.254/", good), 115, 400, "no agent can have"},
		call{"POST", at, beat("http://localhost:6385/", good), 115, 400, "must not name this machine"},
		call{"POST", at, beat("file:///etc/passwd", good), 115, 400, "must be an http or https URL"},
		call{"POST", at, beat("http://192.0.2.7:9999", "guess"), 115, 401, "Invalid or missing agent token"},
		call{"POST", at, map[string]any{"callback_url": "http://192.0.2.7:9999"}, 115, 400, "token is required"},
		call{"POST", at, beat("http://192.0.2.7:9999", good), 115, 202, ""},
		call{"POST", at, beat("http://192.0.2.8:9999", good), 115, 400, "cannot change"},
		call{"POST", at, beat("http://192.0.2.7:9999", good), 115, 202, ""},
	)
	r.awaitIdle(id, "wait call-back")
	r.must(202, "PUT", "/v1/nodes/"+id+"/states/provision", map[string]any{"target": "deleted"})
	r.awaitIdle(id, "available")
	edited := r.provisioned(id)
	r.calls(
		call{"GET", lookup, nil, 115, 404, "could not be found"}, // active: no agent is expected
		call{"POST", at, beat("http://192.0.2.7:9999", good), 115, 401, "Invalid or missing agent token"},
	)
	if edited != "active" {
		t.Errorf("the node is %s", edited)
	}
	if n := called.Load(); n != 0 {
		t.Errorf("the callback address was called %d times", n)
	}
}

// provisioned brings an available node to active without an agent, and returns its state.
func (r *rig) provisioned(id string) string {
	r.t.Helper()
	r.must(200, "PATCH", "/v1/nodes/"+id, op("remove", "/driver_info/fake_wait", nil))
	r.provision(id, "active", "active")
	state, _ := r.must(200, "GET", "/v1/nodes/"+id, nil).body["provision_state"].(string)
	return state
}

// lockedBuffer is a log that several write.
type lockedBuffer struct {
	mu sync.Mutex
	bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Buffer.Write(p)
}

var _ io.Writer = (*lockedBuffer)(nil)

// TestSecretsStayOutOfLogsAndErrors: whatever is done to a node with passwords,
// and however it fails, they are in no log line, error, history entry or reply.
func TestSecretsStayOutOfLogsAndErrors(t *testing.T) {
	t.Parallel()
	var log lockedBuffer
	r, _ := newRealRig(t, func(c *ironicapi.Config) {
		c.Log = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	})
	const secret = "hunter2hunter2"
	id := r.available(map[string]any{"name": "n1", "driver_info": map[string]any{"ipmi_password": secret, "snmp_priv_key": secret}})
	var replies []answer
	do := func(method, path string, body any) {
		replies = append(replies, r.at(115, method, path, body))
	}
	at := "/v1/nodes/" + id
	do("GET", at+"/validate", nil)
	do("PATCH", at, op("add", "/driver_info/other_password", secret))
	do("PATCH", at, []any{map[string]any{"op": "test", "path": "/driver_info/ipmi_password", "value": secret}})
	do("PATCH", at, op("replace", "/driver_info/ipmi_password/x", secret))
	do("PATCH", at, op("replace", "/driver_info", "password="+secret)[0])
	do("POST", "/v1/nodes", map[string]any{"driver": "no-such", "driver_info": map[string]any{"password": secret}})
	do("POST", "/v1/volume/targets", map[string]any{"node_uuid": id, "volume_type": "iscsi", "boot_index": 0, "volume_id": "v",
		"properties": map[string]any{"auth_password": secret}})
	do("GET", "/v1/volume/targets/detail", nil)
	do("PUT", at+"/states/provision", map[string]any{"target": "active", "configdrive": map[string]any{"user_data": "password: " + secret}})
	r.awaitIdle(id, "active")
	do("PUT", at+"/states/provision", map[string]any{"target": "rescue", "rescue_password": secret})
	r.awaitIdle(id, "rescue")
	do("PATCH", at, op("add", "/driver_info/fake_fail", "power,unrescue"))
	do("PUT", at+"/states/power", map[string]any{"target": "power off"})
	r.await(at, "target_power_state", nil)
	do("PUT", at+"/states/provision", map[string]any{"target": "unrescue"})
	r.awaitIdle(id, "unrescue failed")
	do("POST", at+"/vendor_passthru/third_method_sync", map[string]any{"password": secret})
	do("GET", at+"/history?detail=true", nil)
	do("GET", at, nil)
	do("GET", "/v1/nodes/detail", nil)
	for i, a := range replies {
		if strings.Contains(a.text, secret) {
			t.Errorf("reply %d shows the secret: %s", i, a.text)
		}
		if a.status >= 500 {
			t.Errorf("reply %d: %d %s", i, a.status, a.text)
		}
	}
	log.mu.Lock()
	defer log.mu.Unlock()
	if at := strings.Index(log.String(), secret); at >= 0 {
		t.Errorf("the log shows the secret: …%s…", log.String()[max(0, at-200):min(log.Len(), at+50)])
	}
	if !strings.Contains(log.String(), "state reached") || !strings.Contains(log.String(), "method=PATCH") {
		t.Error("the log has nothing of what was done")
	}
}
