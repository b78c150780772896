//go:build linux

package e2e

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"golang.org/x/time/rate"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/lanyard-io/lanyard/desired"
	"github.com/lanyard-io/lanyard/internal/app"
	"github.com/lanyard-io/lanyard/internal/sandbox/awsd"
	"github.com/lanyard-io/lanyard/internal/sandbox/gitd"
	"github.com/lanyard-io/lanyard/migrate/outline"
	"github.com/lanyard-io/lanyard/migrate/probe"
	"github.com/lanyard-io/lanyard/sync/observe"
	"github.com/lanyard-io/lanyard/sync/report"
	"github.com/lanyard-io/lanyard/test/e2e/plane"
)

// Short waits: what is minutes in a cluster. The Lease is as long as the API server's
// answers may take on a busy machine.
const (
	settle   = time.Second
	interval = time.Second
	least    = 200 * time.Millisecond
	life     = 3 * time.Second // of Pod Identity's credentials
)

// operator is lanyard in a lab: installed from deploy/, reading a repository.
type operator struct {
	*lab
	mode       string
	kubeconfig string
	dir        string
	repo       *gitd.Repo
	git        *gitd.Server
	since      int      // bytes of the audit log when this test began
	allow      []string // namespaces; the test's own if there are none
	accept     string   // the commit in source.accept
	cluster    string   // of EKS; the lab's if empty
}

// newOperator installs lanyard in mode repair and gives it a repository with these files.
func newOperator(t *testing.T, files map[string]string) *operator {
	t.Helper()
	return newOperatorIn(t, "repair", files)
}

func newOperatorIn(t *testing.T, mode string, files map[string]string) *operator {
	t.Helper()
	o := &operator{mode: mode, kubeconfig: install(t, mode), lab: newLab(t), dir: t.TempDir()}
	var err error
	o.repo, err = gitd.Init(filepath.Join(o.dir, "fleet.git"))
	o.must(err)
	o.push(files)
	git, err := exec.LookPath("git")
	o.must(err)
	o.git, err = gitd.Serve(t.Context(), o.repo, gitd.Options{Git: git})
	o.must(err)
	t.Cleanup(func() { o.must(o.git.Close()) })
	o.configure("")
	info, err := os.Stat(plane.Need(t).AuditLog())
	if err == nil {
		o.since = int(info.Size())
	}
	return o
}

// push commits files, with NS in place of the test's namespace, and returns the commit.
func (o *operator) push(files map[string]string) string {
	o.t.Helper()
	write := maps.Clone(files)
	for name, text := range write {
		write[name] = strings.ReplaceAll(text, "NS", o.ns)
	}
	commit, err := o.repo.Commit(gitd.Change{Branch: "main", Write: write, By: gitd.By(time.Now())})
	o.must(err)
	return commit
}

func (o *operator) configFile() string { return filepath.Join(o.dir, "lanyard.yaml") }

// configure writes the operator's configuration, with more lines after it.
func (o *operator) configure(more string) {
	o.t.Helper()
	source, allow := fmt.Sprintf("url: %q, ref: main", o.git.URL), o.allow
	if o.accept != "" {
		source += ", accept: " + o.accept
	}
	if allow == nil {
		allow = []string{o.ns}
	}
	text := fmt.Sprintf(`apiVersion: lanyard.io/v1alpha1
kind: Configuration
cluster: %s
mode: %s
source: {%s}
allow: [{namespaces: [%s], roles: ["arn:aws:iam::%s:role/*"]}]
%s`, cmp.Or(o.cluster, "irsa-lab"), o.mode, source, strings.Join(allow, ", "), labAccount, more)
	next := o.configFile() + ".next"
	o.must(os.WriteFile(next, []byte(text), 0o600))
	o.must(os.Rename(next, o.configFile()))
}

// identity is a mapping of the test's namespace.
func identityFile(name, role, more string) string {
	return fmt.Sprintf("apiVersion: lanyard.io/v1alpha1\nkind: IdentityMapping\nmetadata: {name: %s, namespace: NS}\nspec:\n  roleARN: %s\n%s", name, role, more)
}

// settings are what a daemon of a test is made of, in this process or in another.
type settings struct {
	Kubeconfig, Config, AWS, Identity, TokenFile string
	Listen, Version                              string // any port, and "e2e", if empty
}

func (o *operator) settings(identity string) settings {
	o.t.Helper()
	file := filepath.Join(o.dir, "api-token")
	o.must(os.WriteFile(file, []byte(apiToken+"\n"), 0o600))
	return settings{Kubeconfig: o.kubeconfig, Config: o.configFile(), AWS: o.url, Identity: identity, TokenFile: file}
}

const apiToken = "a-token-of-the-test"

// daemonOptions are internal/app's, with short waits. Whatever addresses the API servers
// say that they have, it is the kubeconfig's that is asked.
func (s settings) daemonOptions(log *slog.Logger) (app.DaemonOptions, error) {
	config, err := clientcmd.BuildConfigFromFlags("", s.Kubeconfig)
	if err != nil {
		return app.DaemonOptions{}, err
	}
	id, secret := awsd.AccessKey(labAccount)
	return app.DaemonOptions{
		Options: app.Options{
			Kubeconfig: s.Kubeconfig, AWS: app.StaticAWS("eu-west-1", s.AWS, id, secret), Log: log, Settle: settle, SessionLife: life,
			Dial: probe.Dialer(config, func(ctx context.Context, network, _ string) (net.Conn, error) {
				return (&net.Dialer{}).DialContext(ctx, network, strings.TrimPrefix(config.Host, "https://"))
			}),
			Spacing: func() time.Duration { return 0 }, Limits: observe.Limits{EKS: rate.Inf, IAM: rate.Inf},
		},
		ConfigFile: s.Config, Override: func(c *desired.Configuration) error { c.Source.Interval = interval; return nil },
		Lease:  app.Lease{Namespace: lanyardNamespace, Identity: s.Identity, Duration: 4 * time.Second, Renew: 3 * time.Second, Retry: 300 * time.Millisecond},
		Listen: cmp.Or(s.Listen, "127.0.0.1:0"), APITokenFile: s.TokenFile, APIAccess: true, ReloadEvery: 100 * time.Millisecond, Least: least, Version: cmp.Or(s.Version, "e2e"),
	}, nil
}

// daemon is a lanyard that runs in this process.
type daemon struct {
	*app.Daemon
	o   *operator
	log *lines
}

// run runs lanyard until the test ends.
func (o *operator) run(identity string) *daemon {
	o.t.Helper()
	log := &lines{}
	options, err := o.settings(identity).daemonOptions(slog.New(slog.NewJSONHandler(log, nil)))
	o.must(err)
	d, err := app.NewDaemon(o.t.Context(), options)
	o.must(err)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- d.Run(ctx) }()
	o.t.Cleanup(func() {
		cancel()
		if err := errors.Join(<-ended, d.Close()); err != nil {
			o.t.Errorf("the daemon ended with %v", err)
		}
		if o.t.Failed() {
			o.t.Logf("the daemon's log:\n%s", log.last(25))
			for _, q := range o.asked() {
				if q.Annotations["authorization.k8s.io/decision"] != "allow" {
					o.t.Logf("the API server refused: %s %s", q.Verb, q.RequestURI)
				}
			}
		}
	})
	return &daemon{d, o, log}
}

// lines is a log.
type lines struct {
	mu  sync.Mutex
	all []string
}

// Write takes a line.
func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = append(l.all, strings.TrimSpace(string(p)))
	return len(p), nil
}

func (l *lines) count(holds ...string) (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, line := range l.all {
		all := true
		for _, h := range holds {
			all = all && strings.Contains(line, h)
		}
		if all {
			n++
		}
	}
	return n
}

func (l *lines) last(n int) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Join(l.all[max(0, len(l.all)-n):], "\n")
}

// rounds waits for so many more whole rounds.
func (d *daemon) rounds(more int) {
	d.o.t.Helper()
	goal := d.log.count(`"msg":"round"`) + more
	eventually(d.o.t, fmt.Sprintf("%d more rounds", more), func() error {
		if n := d.log.count(`"msg":"round"`); n < goal {
			return fmt.Errorf("%d of %d rounds", n, goal)
		}
		return nil
	})
}

// findings are those of the last round.
func (d *daemon) findings() ([]report.Finding, error) {
	var body struct{ Findings []report.Finding }
	code, err := d.get("/api/v1/findings", apiToken, &body)
	return body.Findings, errors.Join(err, want("status", code, http.StatusOK))
}

// get asks the daemon's API; an answer of 200 goes into body, if there is one.
func (d *daemon) get(path, bearer string, body any) (code int, err error) {
	req, err := http.NewRequestWithContext(d.o.t.Context(), http.MethodGet, "http://"+d.Addr().String()+path, nil)
	if err != nil {
		return 0, err
	}
	req.Header.Set("Authorization", "Bearer "+bearer)
	answer, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err
	}
	defer func() { _ = answer.Body.Close() }()
	if body == nil || answer.StatusCode != http.StatusOK {
		return answer.StatusCode, nil
	}
	return answer.StatusCode, json.NewDecoder(answer.Body).Decode(body)
}

// clear waits until nothing is found in the test's namespace.
func (d *daemon) clear() {
	d.o.t.Helper()
	eventually(d.o.t, "nothing found", func() error {
		all, err := d.findings()
		for _, f := range all {
			if f.Namespace == d.o.ns {
				err = errors.Join(err, fmt.Errorf("%s %s: %s", f.Kind, f.ServiceAccount, f.Message))
			}
		}
		return err
	})
}

// request is a line of the audit log.
type request struct {
	Stage, Verb, RequestURI string
	User                    struct{ Username string }
	ObjectRef               struct{ Resource, Subresource, Namespace, Name, APIGroup string }
	ResponseStatus          struct{ Code int }
	Annotations             map[string]string
}

// asked are lanyard's requests of this test, as the API server wrote them down. A watch
// counts when it starts.
func (o *operator) asked() []request {
	o.t.Helper()
	data, err := os.ReadFile(plane.Need(o.t).AuditLog())
	o.must(err)
	seen := map[string]bool{}
	var all []request
	for scan := bufio.NewScanner(bytes.NewReader(data[o.since:])); scan.Scan(); {
		var r struct {
			request
			AuditID string
		}
		if json.Unmarshal(scan.Bytes(), &r) != nil {
			continue // the last line, while it is written
		}
		if r.User.Username == lanyardUser && !seen[r.AuditID] {
			seen[r.AuditID] = true
			all = append(all, r.request)
		}
	}
	return all
}

// writes are those that change an identity: none but of ServiceAccounts.
func (o *operator) writes() (n int) {
	for _, r := range o.asked() {
		if r.ObjectRef.Resource == "serviceaccounts" && r.Verb == "patch" && r.ResponseStatus.Code < 300 {
			n++
		}
	}
	calls, _ := o.aws.Calls(0)
	for _, c := range calls {
		if c.Mutating && (c.Service == "iam" || c.Service == "eks") {
			n++
		}
	}
	return n
}

const freshRole = "arn:aws:iam::" + labAccount + ":role/fresh"

// fleet is what Git wants of a lab: what stands, a token's lifetime that does not, and a
// ServiceAccount without any wiring.
func fleet() map[string]string {
	return map[string]string{
		"irsa.yaml":  identityFile("irsa", irsaRole, "  mechanism: irsa\n  irsa: {tokenExpiration: 2h}\n  adopt: [annotation, trust]\n"),
		"pod.yaml":   identityFile("pod", podRole, "  mechanism: pod-identity\n"),
		"fresh.yaml": identityFile("fresh", freshRole, "  mechanism: pod-identity\n  adopt: [trust]\n"),
	}
}

// repaired waits until the fleet stands.
func (o *operator) repaired() {
	o.t.Helper()
	eventually(o.t, "the fleet", func() error {
		a, err := o.kube.CoreV1().ServiceAccounts(o.ns).Get(o.t.Context(), "irsa", metav1.GetOptions{})
		if err != nil {
			return err
		}
		err = want("tokenExpiration", a.Annotations["eks.amazonaws.com/token-expiration"], "7200")
		if _, ok := o.aws.Association(labCluster, o.ns, "fresh"); !ok {
			err = errors.Join(err, errors.New("no association of fresh"))
		}
		if role, _ := o.aws.Role(freshRole); !strings.Contains(role.Trust, "Lanyard") {
			err = errors.Join(err, errors.New("no statement for fresh"))
		}
		return err
	})
}

// ready makes what the fleet names beside the lab's. The lab's own trust in ServiceAccount
// pod hangs on the pod's name, which lanyard cannot judge.
func (o *operator) ready() {
	o.t.Helper()
	o.trust(podRole, strings.Replace(o.podTrust(), `,"StringLike":{"aws:RequestTag/kubernetes-pod-name":"pod-*"}`, "", 1))
	o.trust(freshRole, distrust)
	_, err := o.kube.CoreV1().ServiceAccounts(o.ns).Create(o.t.Context(), &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "fresh"}}, metav1.CreateOptions{})
	o.must(err)
}

// verdicts holds that every read on which a verdict rests was made on a real cluster: none
// is unclear, and what stands is settled.
func (o *operator) verdicts(d *daemon) {
	o.t.Helper()
	var answer struct{ Migration outline.Outline }
	code, err := d.get("/api/v1/plan", apiToken, &answer)
	if err != nil || code != http.StatusOK {
		o.t.Errorf("/api/v1/plan says %d, %v", code, err)
	}
	seen := map[string]string{}
	for _, w := range answer.Migration.Workloads {
		if w.Namespace != o.ns {
			continue
		}
		seen[w.ServiceAccount] = fmt.Sprint(w.Verdict, " ", w.Phase)
		for _, g := range w.Gaps {
			o.t.Errorf("%s: not read: %s", w.Name(), g)
		}
		for _, r := range append(w.Reasons, w.Holds...) {
			o.t.Logf("%s: %s: %s %v", w.Name(), r.Code, r.Message, r.Facts)
		}
	}
	if diff := gocmp.Diff(map[string]string{"irsa": "eligible settled", "pod": "eligible settled", "fresh": "eligible settled"}, seen); diff != "" {
		o.t.Errorf("verdicts and phases (-want +got)\n%s", diff)
	}
}

// TestInstalled: installed from deploy/ and as its own ServiceAccount, lanyard brings a
// fleet to what Git says on every plane, is refused nothing, takes nobody's access, and
// then writes no more.
func TestInstalled(t *testing.T) {
	o := newOperator(t, fleet())
	o.ready()
	o.must(o.prober.Start(10*time.Millisecond, func(err error) { t.Error(err) }))
	d := o.run("one")
	o.repaired()
	d.clear()
	d.rounds(2)
	for name, effect := range map[string]string{"irsa": "cross", "fresh": "widen"} {
		if e := o.told(name, "IdentityStep", effect); e.Type != corev1.EventTypeNormal || !strings.HasPrefix(e.Note, "done: ") {
			t.Errorf("%s Event %q, want a normal one of what was done", e.Type, e.Note)
		}
	}
	wrote := o.writes()
	d.rounds(3)
	if more := o.writes() - wrote; wrote < 3 || more != 0 {
		t.Errorf("%d writes, and %d in three rounds more; want three or more, and none", wrote, more)
	}
	o.verdicts(d)
	for _, r := range o.asked() {
		if r.Annotations["authorization.k8s.io/decision"] != "allow" {
			t.Errorf("refused: %s %s", r.Verb, r.RequestURI)
		}
	}
	o.must(o.prober.Close())
	report := o.prober.Report()
	if len(report.Broken)+len(report.Exposed) > 0 || report.Probes < 50 {
		t.Errorf("of %d probes %v are broken and %v exposed", report.Probes, report.Broken, report.Exposed)
	}
}
