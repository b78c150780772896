package app_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"io/fs"
	"net/http"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/lanyard-io/lanyard/internal/app"
)

// hooked is a rig whose daemon can be woken.
func hooked(t *testing.T) (*rig, *runningDaemon, string) {
	t.Helper()
	r := newRig(t)
	file := filepath.Join(t.TempDir(), "secret")
	r.write(t, file, "s3cret\n")
	d := r.start(t, func(o *app.DaemonOptions) {
		o.HookListen, o.HookSecrets = "127.0.0.1:0", map[string][]string{"generic": {file}}
	})
	return r, d, file
}

// knock sends a hook.
func (d *runningDaemon) knock(t *testing.T, secret string) int {
	t.Helper()
	at := strconv.FormatInt(time.Now().Unix(), 10)
	mac := hmac.New(sha256.New, []byte(secret))
	body := `{"n":"` + strconv.FormatInt(time.Now().UnixNano(), 10) + `"}`
	mac.Write([]byte(at + "." + body))
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+d.HookAddr().String()+"/hook/generic", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-Lanyard-Timestamp", at)
	req.Header.Set("X-Lanyard-Signature-256", "sha256="+hex.EncodeToString(mac.Sum(nil)))
	answer, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = answer.Body.Close()
	return answer.StatusCode
}

// TestHookWakes: a push is followed within seconds of a hook, and not before the
// interval without one.
func TestHookWakes(t *testing.T) {
	t.Parallel()
	r, d, file := hooked(t)
	r.settled(t, d)
	followed := func() bool {
		var s statusSeen
		d.api(t, "/api/v1/status", &s)
		return strings.HasSuffix(s.Daemon.Source.Accepted, r.head(t))
	}
	r.commit(t, map[string]string{"note.txt": "a push"})
	if code := d.knock(t, "wrong"); code != http.StatusUnauthorized {
		t.Errorf("a hook with a wrong secret is answered %d; want 401", code)
	}
	r.pass(t, 10*time.Second)
	if followed() {
		t.Skip("the interval ended just then")
	}
	if code := d.knock(t, "s3cret"); code != http.StatusAccepted {
		t.Fatalf("the hook is answered %d; want 202", code)
	}
	waitFor(t, "the push is followed", followed)

	r.write(t, file, "s3cret\nrotated\n")
	if code := d.knock(t, "rotated"); code != http.StatusAccepted {
		t.Errorf("after the rotation the hook is answered %d; want 202", code)
	}
}

// TestHookReachesTheLeader: a hook that a Service gave to a replica that stands by is
// passed on through the Lease.
func TestHookReachesTheLeader(t *testing.T) {
	t.Parallel()
	r, d, file := hooked(t)
	r.settled(t, d)
	other := newGate(r.stage)
	standby := r.start(t, func(o *app.DaemonOptions) {
		o.Lease.Identity, o.Sleep = "two", other.Sleep
		o.HookListen, o.HookSecrets = "127.0.0.1:0", map[string][]string{"generic": {file}}
	})
	waitFor(t, "the other stands by", func() bool {
		_, body := standby.get(t, "/readyz", "")
		return strings.Contains(string(body), "standing by, one leads")
	})
	followed := func() bool {
		var s statusSeen
		d.api(t, "/api/v1/status", &s)
		return strings.HasSuffix(s.Daemon.Source.Accepted, r.head(t))
	}
	r.commit(t, map[string]string{"note.txt": "a push"})
	if code := standby.knock(t, "s3cret"); code != http.StatusAccepted {
		t.Fatalf("the hook is answered %d; want 202", code)
	}
	waitFor(t, "the Lease tells of it", func() bool { return strings.HasSuffix(r.lease(t).Annotations["lanyard.io/woken"], " two") })
	r.gate.pass(t, 5*time.Second) // the least time between two rounds
	waitFor(t, "the push is followed", followed)
	if holder := r.lease(t).Spec.HolderIdentity; holder == nil || *holder != "one" {
		t.Errorf("the Lease is held by %v; want one", holder)
	}
}

// TestPushIsApplied: what a pushed commit asks for is done, seen by polling.
func TestPushIsApplied(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	d := r.start(t)
	r.settled(t, d)
	const file = "kube-system/aws-load-balancer-controller.yaml"
	was, err := fs.ReadFile(r.fleet, file)
	if err != nil {
		t.Fatal(err)
	}
	r.commit(t, map[string]string{file: strings.Replace(string(was), "spec:\n", "spec:\n  irsa: {tokenExpiration: 2h}\n", 1)})
	r.until(t, "the annotation is set", func() bool {
		a, err := r.Client("reader").CoreV1().ServiceAccounts("kube-system").Get(t.Context(), "aws-load-balancer-controller", metav1.GetOptions{})
		return err == nil && a.Annotations["eks.amazonaws.com/token-expiration"] == "7200"
	})
}

// TestReload: guard rails change between two rounds without new clients; a
// configuration that is wrong leaves the last good one in force, and says so.
func TestReload(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.setConfig(t, `namespaces: ["*"]`, `namespaces: ["nowhere"]`)
	d := r.start(t)
	r.settled(t, d)
	if wrote := r.identityWrites(); len(wrote) > 0 {
		t.Fatalf("wrote %v outside of allow", wrote)
	}
	var f findingsSeen
	if d.api(t, "/api/v1/findings", &f); len(f.kinds("mapping-forbidden")) == 0 {
		t.Error("no finding mapping-forbidden")
	}

	r.write(t, r.file, "kind: nonsense")
	waitFor(t, "the wrong configuration is refused", func() bool {
		var s statusSeen
		d.api(t, "/api/v1/status", &s)
		return strings.Contains(s.Daemon.Configuration.Error, "lanyard.yaml:1:")
	})
	r.pass(t, 3*time.Minute)
	if wrote := r.identityWrites(); len(wrote) > 0 {
		t.Errorf("wrote %v under a configuration that is wrong", wrote)
	}
	if line := d.metric(t, "lanyard_config_last_reload_successful"); !strings.HasSuffix(line, " 0") {
		t.Errorf("metric %q; want 0", line)
	}

	watches := r.watches()
	r.setConfig(t, `namespaces: ["nowhere"]`, `namespaces: ["*"]`)
	waitFor(t, "the mended configuration is in force", func() bool {
		var s statusSeen
		d.api(t, "/api/v1/status", &s)
		return s.Daemon.Configuration.Error == ""
	})
	r.pass(t, 5*time.Minute)
	if wrote := r.identityWrites(); len(wrote) == 0 {
		t.Error("wrote nothing once allow lets it")
	}
	if now := r.watches(); now != watches {
		t.Errorf("%d watches were made anew for a change of guard rails", now-watches)
	}

	r.setConfig(t, "mode: repair", "mode: observe")
	waitFor(t, "mode observe is in force", func() bool { r.gate.pass(t, time.Second); return d.metric(t, `lanyard_mode{mode="observe"} 1`) != "" })
	wrote := len(r.identityWrites())
	r.drift(t)
	r.pass(t, 5*time.Minute)
	if more := r.identityWrites()[wrote:]; len(more) > 0 {
		t.Errorf("wrote %v in mode observe", more)
	}
}

// watches counts the watches that lanyard began.
func (r *rig) watches() int {
	n := 0
	for _, c := range r.Kube.Calls("lanyard") {
		if c.Verb == "watch" {
			n++
		}
	}
	return n
}
