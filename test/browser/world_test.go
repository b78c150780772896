package browser

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lanyard-io/lanyard/examples"
	"github.com/lanyard-io/lanyard/internal/app"
	"github.com/lanyard-io/lanyard/internal/rights"
	"github.com/lanyard-io/lanyard/internal/sandbox"
	"github.com/lanyard-io/lanyard/internal/sandbox/awsd"
	"github.com/lanyard-io/lanyard/internal/sandbox/fleet"
	"github.com/lanyard-io/lanyard/internal/sandbox/gitd"
	"github.com/lanyard-io/lanyard/sync/live"
)

const (
	token  = "a-token-of-the-test"
	reader = "lanyard-reader"
)

// TestMain silences client-go, whose log is global.
func TestMain(m *testing.M) {
	app.BridgeKlog(slog.New(slog.DiscardHandler))
	os.Exit(m.Run())
}

// world is a daemon at work in the sandbox. Its time passes when the test lets it.
type world struct {
	*sandbox.World
	pass    func(context.Context, time.Duration) error // of the world's time
	url     string
	repo    *gitd.Repo
	options app.DaemonOptions
	turns   chan struct{} // each lets the daemon sleep once
	asleep  atomic.Int32
	stop    func() // ends the daemon
}

// daemonStatus is what the tests read of /api/v1/status.
type daemonStatus struct {
	Ready   bool
	Summary struct{ Mappings, InSync, Findings, Gaps int }
	Last    *struct{ Round int } `json:"lastGood"`
	Moving  []struct{ Phase string }
	Steps   []struct{ Result string }
}

// exampleWorld is the example fleet, or what of it lies under some paths.
func exampleWorld(t *testing.T, mode string, paths ...string) *world {
	t.Helper()
	facts, err := live.DecodeFacts(examples.Live)
	check(t, err)
	data, err := facts.EncodeJSON()
	check(t, err)
	s, err := sandbox.Load(data, sandbox.Options{Start: time.Now()})
	check(t, err)
	t.Cleanup(func() { _ = s.Close() })
	check(t, s.AWS.PutRole(awsd.Role{ARN: "arn:aws:iam::210987654321:role/lanyard-reader", Trust: `{"Version":"2012-10-17","Statement":[{"Effect":"Allow",` +
		`"Principal":{"AWS":"arn:aws:iam::123456789012:root"},"Action":"sts:AssumeRole","Condition":{"StringEquals":{"sts:ExternalId":"irsa-lab-lanyard"}}}]}`}))
	config := strings.Replace(string(examples.Configuration), "mode: repair", "mode: "+mode, 1)
	return newWorld(t, s, s.Pass, "lanyard", config, paths, func(r *gitd.Repo) error {
		by := gitd.By(s.Clock.Now())
		by.Message = "Declare the fleet."
		_, err := r.Import("main", examples.Fleet(), by)
		return err
	})
}

// movingWorld is a fleet that Git wants on Pod Identity.
func movingWorld(t *testing.T) *world {
	t.Helper()
	f, err := fleet.New(t.Context(), fleet.Options{Start: time.Now(), Still: true})
	check(t, err)
	t.Cleanup(func() { _ = f.Close() })
	check(t, f.Kube.SeedManifests(rights.Place{Namespace: fleet.Lanyard, ServiceAccount: fleet.Lanyard}.Admission()))
	config := `apiVersion: lanyard.io/v1alpha1
kind: Configuration
cluster: irsa-lab
mode: migrate
allow:
  - namespaces: ["*"]
    roles: ["arn:aws:iam::123456789012:role/*", "arn:aws:iam::` + fleet.OtherAccount + `:role/*"]
accounts:
  - {id: "` + fleet.OtherAccount + `", roleARN: ` + fleet.ReaderRole + `, externalID: ` + fleet.ExternalID + `}
migration: {maxConcurrent: 4, perNamespace: 2}
`
	return newWorld(t, f.World, f.Pass, "system:serviceaccount:"+fleet.Lanyard+":"+fleet.Lanyard, config, nil, func(r *gitd.Repo) error {
		by := gitd.By(f.Clock.Now())
		by.Message = "Move everything that can be."
		_, err := r.Commit(gitd.Change{Branch: "main", Write: f.Files(fleet.PodIdentity), By: by})
		return errors.Join(err, f.Wants(t.Context(), fleet.PodIdentity))
	})
}

func newWorld(t *testing.T, s *sandbox.World, pass func(context.Context, time.Duration) error, user, config string, paths []string, commit func(*gitd.Repo) error) *world {
	t.Helper()
	w := &world{World: s, pass: pass, turns: make(chan struct{})}
	dir := t.TempDir()
	var err error
	w.repo, err = gitd.Init(filepath.Join(dir, "fleet.git"))
	check(t, err)
	check(t, commit(w.repo))
	source := "source:\n  url: " + w.repo.Dir + "\n"
	if len(paths) > 0 {
		list, err := json.Marshal(paths)
		check(t, err)
		source += "  paths: " + string(list) + "\n"
	}
	file, tokens := filepath.Join(dir, "lanyard.yaml"), filepath.Join(dir, "tokens")
	check(t, os.WriteFile(file, []byte(config+source), 0o600))
	check(t, os.WriteFile(tokens, []byte(token+"\n"), 0o600))
	id, secret := awsd.AccessKey(s.Account)
	w.options = app.DaemonOptions{
		Options: app.Options{
			Kube: s.Client(user), Issuer: func(context.Context) (string, error) { return s.Kube.Issuer(), nil },
			AWS: app.StaticAWS(s.Region, s.URL, id, secret), Now: s.Clock.Now, Sleep: w.sleep, Spacing: func() time.Duration { return 0 },
			Log: slog.New(slog.DiscardHandler), Limits: app.Unlimited(),
		},
		ConfigFile: file, Lease: app.Lease{Namespace: "kube-system", Identity: "lanyard-7d9c4b5f6-x2k8p"},
		Listen: "127.0.0.1:0", APITokenFile: tokens, Version: "v1.0.0", Commit: "5d1c7b2",
	}
	return w
}

// sleep is the daemon's: it waits until the test lets time pass.
func (w *world) sleep(ctx context.Context, d time.Duration) error {
	w.asleep.Add(1)
	select {
	case <-ctx.Done():
		w.asleep.Add(-1)
		return ctx.Err()
	case <-w.turns:
		w.asleep.Add(-1)
		return w.pass(ctx, d)
	}
}

// run starts the daemon, and lets time pass until what is shown is as it should be.
func (w *world) run(t *testing.T, what string, shown func(daemonStatus) bool) {
	t.Helper()
	d, err := app.NewDaemon(t.Context(), w.options)
	check(t, err)
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- d.Run(ctx) }()
	w.stop = sync.OnceFunc(func() {
		cancel()
		check(t, errors.Join(<-ended, d.Close()))
	})
	t.Cleanup(w.stop)
	w.url = "http://" + d.Addr().String() + "/"
	w.until(t, what, shown)
}

// until lets time pass until what is shown is as it should be.
func (w *world) until(t *testing.T, what string, shown func(daemonStatus) bool) {
	t.Helper()
	for range 2000 {
		w.rest(t)
		if s := w.status(t); s.Ready && shown(s) {
			return
		}
		w.turns <- struct{}{}
	}
	t.Fatalf("the daemon did not come to show %s:\n%s", what, w.get(t, "api/v1/status"))
}

// rest waits until the daemon sleeps.
func (w *world) rest(t *testing.T) {
	t.Helper()
	for range 6000 {
		if w.asleep.Load() > 0 {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatal("the daemon did not come to rest within a minute")
}

func (w *world) status(t *testing.T) (s daemonStatus) {
	t.Helper()
	check(t, json.Unmarshal(w.get(t, "api/v1/status"), &s))
	return s
}

func (w *world) get(t *testing.T, path string) []byte {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, w.url+path, nil)
	check(t, err)
	r.Header.Set("Authorization", "Bearer "+token)
	answer, err := http.DefaultClient.Do(r)
	check(t, err)
	defer answer.Body.Close()
	data, err := io.ReadAll(answer.Body)
	check(t, err)
	return data
}

// The four states that the page is looked at in.
func inSync(t *testing.T) *world {
	t.Helper()
	w := exampleWorld(t, "repair", "defaults.yaml", "demo2", "payments", "win-demo", "karpenter")
	w.run(t, "everything in sync", func(s daemonStatus) bool { return s.Summary.InSync == s.Summary.Mappings && len(s.Steps) > 0 })
	return w
}

func drifting(t *testing.T) *world {
	t.Helper()
	w := exampleWorld(t, "repair")
	w.run(t, "drift, and a write", func(s daemonStatus) bool { return s.Summary.Findings > 0 && len(s.Steps) > 1 })
	return w
}

func migrating(t *testing.T) *world {
	t.Helper()
	w := movingWorld(t)
	w.run(t, "workloads on their way", func(s daemonStatus) bool {
		phases := map[string]int{}
		for _, m := range s.Moving {
			phases[m.Phase]++
		}
		return phases["crossing"] > 0 && phases["soaking"] > 1
	})
	return w
}

func blind(t *testing.T) *world {
	t.Helper()
	w := exampleWorld(t, "repair")
	w.run(t, "a good round", func(s daemonStatus) bool { return s.Summary.Gaps == 0 })
	for _, operation := range []string{"GetRole", "GetAccountAuthorizationDetails", "ListRoles"} {
		w.AWS.AddFault(awsd.Fault{Service: "iam", Operation: operation, Kind: awsd.Answer, Code: "AccessDenied", Message: "User is not authorized to perform this action", Status: 403})
	}
	w.AWS.AddFault(awsd.Fault{Service: "eks", Operation: "DescribePodIdentityAssociation", Kind: awsd.Throttle})
	w.until(t, "gaps", func(s daemonStatus) bool { return s.Summary.Gaps > 0 })
	return w
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
