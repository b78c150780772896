package app_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/lanyard-io/lanyard/internal/sandbox/awsd"
)

// forRE is how long an alert waits.
var forRE = regexp.MustCompile(`(?m)^(        for: ).*$`)

// shippedRules writes the rules of deploy/ as they are, but for one thing: each "for" is
// two seconds, because a test does not wait for an hour.
func shippedRules(t *testing.T, file string) {
	t.Helper()
	rules, err := os.ReadFile("../../deploy/prometheus/rules.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if n := len(forRE.FindAll(rules, -1)); n < 15 {
		t.Fatalf("%d rules wait for something; want most", n)
	}
	if err := os.WriteFile(file, forRE.ReplaceAll(rules, []byte("${1}2s")), 0o600); err != nil {
		t.Fatal(err)
	}
}

// prometheusServer is a server that scrapes a daemon.
type prometheusServer struct{ url string }

var listeningRE = regexp.MustCompile(`Listening on"? address=(\S+)`)

// startPrometheus runs a real Prometheus beside a daemon, with the rules of deploy/.
func startPrometheus(t *testing.T, target string) *prometheusServer {
	t.Helper()
	binary, err := exec.LookPath("prometheus")
	if err != nil {
		t.Skip("no prometheus in PATH: Debian's package prometheus has it, and make check-rules demands it")
	}
	dir := t.TempDir()
	shippedRules(t, filepath.Join(dir, "rules.yaml"))
	config := filepath.Join(dir, "prometheus.yml")
	if err := os.WriteFile(config, fmt.Appendf(nil, `global: {scrape_interval: 500ms, evaluation_interval: 500ms}
rule_files: [rules.yaml]
scrape_configs:
  - job_name: lanyard
    honor_labels: true # as docs/deploy.md says
    static_configs: [{targets: [%q]}]
`, target), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(binary, "--config.file="+config, "--storage.tsdb.path="+filepath.Join(dir, "data"), "--web.listen-address=127.0.0.1:0", "--log.level=info")
	log, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan string, 1) // the log, when it has ended
	address := make(chan string, 1)
	go func() {
		var all strings.Builder
		for lines := bufio.NewScanner(log); lines.Scan(); {
			all.WriteString(lines.Text() + "\n")
			if m := listeningRE.FindStringSubmatch(lines.Text()); m != nil {
				address <- m[1]
			}
		}
		_ = cmd.Wait()
		ended <- all.String()
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		if all := <-ended; t.Failed() {
			t.Logf("prometheus:\n%s", all)
		}
	})
	select {
	case a := <-address: // it listens before it is ready
		p := &prometheusServer{"http://" + a}
		for deadline := time.Now().Add(time.Minute); p.get(t, "/-/ready", nil) != http.StatusOK; time.Sleep(50 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatal("prometheus is not ready within a minute")
			}
		}
		return p
	case all := <-ended:
		ended <- all
		t.Fatal("prometheus ended at once")
	case <-time.After(time.Minute):
		t.Fatal("prometheus did not listen within a minute")
	}
	return nil
}

// alert is one of Prometheus' /api/v1/alerts.
type alert struct {
	State  string
	Labels map[string]string
}

// get reads a path of the server's.
func (p *prometheusServer) get(t *testing.T, path string, into any) int {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, p.url+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if into != nil {
		if err := json.NewDecoder(answer.Body).Decode(into); err != nil {
			t.Fatalf("%s: %d: %v", path, answer.StatusCode, err)
		}
	}
	return answer.StatusCode
}

// alerts asks which alerts there are.
func (p *prometheusServer) alerts(t *testing.T) []alert {
	t.Helper()
	var body struct {
		Status string
		Data   struct{ Alerts []alert }
	}
	if code := p.get(t, "/api/v1/alerts", &body); code != http.StatusOK || body.Status != "success" {
		t.Fatalf("alerts: %d %s", code, body.Status)
	}
	return body.Data.Alerts
}

// fires reports whether an alert fires with all of these labels.
func (p *prometheusServer) fires(t *testing.T, labels map[string]string) bool {
	t.Helper()
	for _, a := range p.alerts(t) {
		all := a.State == "firing"
		for name, value := range labels {
			all = all && a.Labels[name] == value
		}
		if all {
			return true
		}
	}
	return false
}

// TestAlert: a real Prometheus scrapes a daemon under the rules that ship. Somebody
// breaks the trust policy of a role that pods use: the alert fires, with the labels that
// lead to the team. lanyard is let repair it: the alert is gone.
func TestAlert(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	d := r.start(t)
	p := startPrometheus(t, d.Addr().String())
	r.settled(t, d)
	r.setConfig(t, "mode: repair", "mode: observe")
	r.until(t, "mode observe", func() bool { return strings.HasSuffix(d.metric(t, `lanyard_mode{mode="observe"}`), " 1") })

	broken := map[string]string{"alertname": "LanyardCriticalFinding", "severity": "page", "namespace": "payments", "service_account": "api",
		"plane": "trust", "kind": "trust-pod-identity-missing"}
	// await lets the daemon make rounds, in its own time, until Prometheus says so in its.
	await := func(what string, holds func() bool) {
		t.Helper()
		for deadline := time.Now().Add(3 * time.Minute); !holds(); time.Sleep(200 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("not within three minutes: %s; alerts: %v", what, p.alerts(t))
			}
			r.pass(t, 30*time.Second)
		}
	}
	await("another alert of the fleet fires", func() bool {
		return p.fires(t, map[string]string{"alertname": "LanyardDrift", "severity": "ticket"})
	})
	if p.fires(t, broken) {
		t.Fatal("the alert fires before anything is broken")
	}
	const role = "arn:aws:iam::123456789012:role/eks-irsa-lab-payments-api-role"
	if err := r.AWS.PutRole(awsd.Role{ARN: role,
		Trust: `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"ec2.amazonaws.com"},"Action":"sts:AssumeRole"}]}`}); err != nil {
		t.Fatal(err)
	}
	await("the alert fires", func() bool { return p.fires(t, broken) })

	r.setConfig(t, "mode: observe", "mode: repair")
	await("the alert is gone", func() bool { return !p.fires(t, broken) })
	if after, _ := r.AWS.Role(role); !strings.Contains(after.Trust, "pods.eks.amazonaws.com") {
		t.Errorf("the alert is gone, and the trust policy is %s", after.Trust)
	}
	for _, name := range []string{"LanyardAbsent", "LanyardNoLeader", "LanyardInvariantBroken"} {
		if p.fires(t, map[string]string{"alertname": name}) {
			t.Errorf("%s fires beside a daemon that is well", name)
		}
	}
}

// TestDashboard: a real Prometheus that scrapes a daemon answers every query of the
// Grafana dashboard, and those about what every fleet has with a sample.
func TestDashboard(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile("../../deploy/grafana/lanyard.json")
	if err != nil {
		t.Fatal(err)
	}
	var board struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr string }
		}
	}
	if err := json.Unmarshal(data, &board); err != nil {
		t.Fatal(err)
	}
	r := newRig(t)
	d := r.start(t)
	p := startPrometheus(t, d.Addr().String())
	r.settled(t, d)
	type answer struct {
		Status, Error string
		Data          struct{ Result []json.RawMessage }
	}
	ask := func(query string) (a answer) {
		p.get(t, "/api/v1/query?query="+url.QueryEscape(query), &a)
		return a
	}
	for deadline := time.Now().Add(time.Minute); len(ask(`lanyard_mapping_in_sync`).Data.Result) == 0 || len(ask(`rate(lanyard_rounds_total[1m])`).Data.Result) == 0; time.Sleep(200 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("prometheus has not scraped the daemon within a minute")
		}
	}
	// A ServiceAccount of the example that has findings which stay.
	fill := strings.NewReplacer("$namespace", "kube-system", "$service_account", "aws-load-balancer-controller", "$__rate_interval", "1m")
	queries, answered := 0, 0
	for _, panel := range board.Panels {
		for _, target := range panel.Targets {
			queries++
			a := ask(fill.Replace(target.Expr))
			if a.Status != "success" {
				t.Errorf("%s: %s: %s", panel.Title, target.Expr, a.Error)
			}
			if len(a.Data.Result) > 0 {
				answered++
			} else if !quietRE.MatchString(target.Expr) {
				t.Errorf("%s: %s: nothing", panel.Title, target.Expr)
			}
		}
	}
	t.Logf("%d queries, %d with an answer", queries, answered)
	if queries < 60 {
		t.Errorf("%d queries found", queries)
	}
}

// quietRE are the queries that may have no answer beside a fleet that neither moves nor
// fights: of what only is there then, and of what is above a threshold.
var quietRE = regexp.MustCompile(`(?:> 0|== 1\)|>= 3\))$|lanyard_(?:migration_phase|write_conflict|flaps|troubled_pods)`)
