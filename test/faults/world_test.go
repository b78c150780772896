package faults_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/smithy-go/middleware"
	"golang.org/x/time/rate"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
	clienttesting "k8s.io/client-go/testing"

	"github.com/lanyard-io/lanyard/desired"
	"github.com/lanyard-io/lanyard/examples"
	"github.com/lanyard-io/lanyard/internal/app"
	"github.com/lanyard-io/lanyard/internal/sandbox"
	"github.com/lanyard-io/lanyard/internal/sandbox/awsd"
	"github.com/lanyard-io/lanyard/sync/live"
	"github.com/lanyard-io/lanyard/sync/observe"
)

const (
	clusterARN = "arn:aws:eks:eu-west-1:123456789012:cluster/irsa-lab"
	freshRole  = "arn:aws:iam::123456789012:role/fresh-writer"
	keptRole   = "arn:aws:iam::123456789012:role/kept"

	// kept associations bear lanyard's mark and stay, so that the gone ones are no more
	// than a tenth (law 5).
	kept, gone = 20, 2
	// budget is the removals that the operator allows in an hour: fewer than are due.
	budget = 1

	podIdentityTrust = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"pods.eks.amazonaws.com"},"Action":["sts:AssumeRole","sts:TagSession"]}]}`
	readerTrust      = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::123456789012:root"},"Action":"sts:AssumeRole","Condition":{"StringEquals":{"sts:ExternalId":"irsa-lab-lanyard"}}}]}`
)

var fleetDir string // the fleet and what this package adds to it

func TestMain(m *testing.M) {
	app.BridgeKlog(slog.New(slog.DiscardHandler)) // global in klog
	dir, err := os.MkdirTemp("", "lanyard-faults-")
	if err == nil {
		fleetDir = dir
		err = writeFleet(dir)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	_ = os.RemoveAll(dir)
	os.Exit(code)
}

func writeFleet(dir string) error {
	if err := os.CopyFS(dir, examples.Fleet()); err != nil {
		return err
	}
	for name, content := range more() {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o700); err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			return err
		}
	}
	return nil
}

// more are the files beside the example fleet's: a subject that waits for its
// association, and those whose associations are as Git wants them.
func more() map[string]string {
	const form = "apiVersion: lanyard.io/v1alpha1\nkind: IdentityMapping\nmetadata: {name: %s, namespace: %s}\nspec: {roleARN: %q, mechanism: pod-identity, podIdentity: {trust: bare}}\n"
	out := map[string]string{"fresh/writer.yaml": fmt.Sprintf(form, "writer", "fresh", freshRole)}
	var b strings.Builder
	for i := range kept {
		fmt.Fprintf(&b, "---\n"+form, fmt.Sprintf("kept-%02d", i), "kept", keptRole)
	}
	out["kept/all.yaml"] = b.String()
	return out
}

// world is the sandbox, with lanyard's options in it.
type world struct {
	*sandbox.World
	opts  app.Options
	judge *judge
}

// newWorld makes the example fleet's world with everything that a repair can do in it:
// a trust policy to widen, an annotation to set, associations to create, update and
// delete. The judge looks after each write. An operation that hangs is given up soon.
func newWorld(hangs string) (*world, error) {
	facts, err := live.DecodeFacts(examples.Live)
	if err != nil {
		return nil, err
	}
	add := func(namespace, name string, n int) {
		facts.ServiceAccounts = append(facts.ServiceAccounts, live.ServiceAccount{Namespace: namespace, Name: name,
			UID: fmt.Sprintf("00000000-0000-4000-8000-0000000%05d", 90000+n), ResourceVersion: fmt.Sprint(9000 + n)})
	}
	for _, namespace := range []string{"fresh", "kept", "gone"} {
		facts.Namespaces = append(facts.Namespaces, live.Namespace{Name: namespace})
	}
	add("fresh", "writer", 0)
	for i := range kept {
		add("kept", fmt.Sprintf("kept-%02d", i), 1+i)
	}
	for i := range gone {
		add("gone", fmt.Sprintf("gone-%02d", i), 100+i)
	}
	data, err := facts.EncodeJSON()
	if err != nil {
		return nil, err
	}
	config, err := desired.ParseConfiguration("lanyard.yaml", examples.Configuration)
	if err != nil {
		return nil, err
	}
	config.Prune, config.Budgets.RemovalsPerHour = desired.PruneOwned, budget
	s, err := sandbox.Load(data, sandbox.Options{Start: time.Now()})
	if err != nil {
		return nil, err
	}
	w := &world{World: s}
	if err := w.wire(config); err != nil {
		_ = s.Close()
		return nil, err
	}
	if w.judge, err = newJudge(w); err != nil {
		_ = s.Close()
		return nil, err
	}
	id, secret := awsd.AccessKey(w.Account)
	cfg := app.StaticAWS(w.Region, w.URL, id, secret)
	cfg.RetryMaxAttempts = 1 // a fault that strikes once must be seen
	cfg.HTTPClient = &http.Client{Transport: &witness{judge: w.judge, hangs: hangs, Transport: &http.Transport{}}}
	w.opts = app.Options{
		Config: config, Desired: app.Desired{Dirs: []string{fleetDir}},
		Kube:   watched(s, "lanyard", w.judge),
		Issuer: func(context.Context) (string, error) { return s.Kube.Issuer(), nil },
		AWS:    cfg, Now: s.Clock.Now, Sleep: s.Pass, Spacing: func() time.Duration { return 0 },
		Limits: observe.Limits{EKS: rate.Inf, IAM: rate.Inf}, // the world's time is not theirs
	}
	return w, nil
}

// wire makes the roles and associations beside the example's.
func (w *world) wire(config *desired.Configuration) error {
	for arn, trust := range map[string]string{config.Accounts[0].Role.String(): readerTrust, freshRole: podIdentityTrust, keptRole: podIdentityTrust} {
		if err := w.AWS.PutRole(awsd.Role{ARN: arn, Trust: trust}); err != nil {
			return err
		}
	}
	put := func(namespace, name string) error {
		_, err := w.AWS.PutAssociation(awsd.Association{Cluster: w.ARN, Namespace: namespace, ServiceAccount: name, RoleARN: keptRole,
			Tags: map[string]string{"lanyard.io/cluster": clusterARN, "lanyard.io/mapping": namespace + "/" + name, "team": "theirs"}})
		return err
	}
	for i := range kept {
		if err := put("kept", fmt.Sprintf("kept-%02d", i)); err != nil {
			return err
		}
	}
	for i := range gone {
		if err := put("gone", fmt.Sprintf("gone-%02d", i)); err != nil {
			return err
		}
	}
	return nil
}

// close ends the world.
func (w *world) close() error {
	w.opts.AWS.HTTPClient.(*http.Client).CloseIdleConnections()
	return w.World.Close()
}

// witness is the way to AWS: the judge looks after each call that may have written.
type witness struct {
	*http.Transport
	judge *judge
	hangs string
}

// RoundTrip makes the call.
func (v *witness) RoundTrip(r *http.Request) (*http.Response, error) {
	if v.hangs != "" && middleware.GetOperationName(r.Context()) == v.hangs {
		// The daemon's own limit is 30 s of the wall clock, and no option changes it.
		ctx, cancel := context.WithTimeout(r.Context(), 300*time.Millisecond)
		r = r.WithContext(ctx)
		context.AfterFunc(ctx, cancel)
	}
	answer, err := v.Transport.RoundTrip(r)
	v.judge.called(r.Context())
	return answer, err
}

// watched is a user's client, after whose writes to ServiceAccounts the judge looks.
func watched(s *sandbox.World, user string, j *judge) kubernetes.Interface {
	outer, inner := s.Client(user), s.Client(user)
	outer.(interface {
		PrependReactor(verb, resource string, reaction clienttesting.ReactionFunc)
	}).PrependReactor("patch", "serviceaccounts", func(a clienttesting.Action) (bool, runtime.Object, error) {
		out, err := inner.(interface {
			Invokes(clienttesting.Action, runtime.Object) (runtime.Object, error)
		}).Invokes(a, &corev1.ServiceAccount{})
		j.patched(a.GetNamespace() + "/" + a.(clienttesting.PatchAction).GetName())
		return true, out, err
	})
	return outer
}
