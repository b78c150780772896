package app_test

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"

	"github.com/lanyard-io/lanyard/desired"
	"github.com/lanyard-io/lanyard/examples"
	"github.com/lanyard-io/lanyard/internal/app"
	"github.com/lanyard-io/lanyard/internal/sandbox"
	"github.com/lanyard-io/lanyard/internal/sandbox/awsd"
	"github.com/lanyard-io/lanyard/internal/sandbox/kubed"
	"github.com/lanyard-io/lanyard/sync/diff"
	"github.com/lanyard-io/lanyard/sync/live"
	"github.com/lanyard-io/lanyard/sync/plan"
	"github.com/lanyard-io/lanyard/sync/report"
)

// stage is lanyard in the sandbox world of the example fleet.
type stage struct {
	*sandbox.World
	opts app.Options
}

func newStage(t *testing.T) *stage {
	t.Helper()
	facts, err := live.DecodeFacts(examples.Live)
	if err != nil {
		t.Fatal(err)
	}
	data, err := facts.EncodeJSON()
	if err != nil {
		t.Fatal(err)
	}
	config, err := desired.ParseConfiguration("lanyard.yaml", examples.Configuration)
	if err != nil {
		t.Fatal(err)
	}
	w, err := sandbox.Load(data, sandbox.Options{Start: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := w.AWS.PutRole(awsd.Role{ARN: config.Accounts[0].Role.String(),
		Trust: `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::123456789012:root"},"Action":"sts:AssumeRole","Condition":{"StringEquals":{"sts:ExternalId":"irsa-lab-lanyard"}}}]}`}); err != nil {
		t.Fatal(err)
	}
	id, secret := awsd.AccessKey(w.Account)
	return &stage{World: w, opts: app.Options{
		Config: config, Desired: app.Desired{Dirs: []string{"../../examples/fleet"}},
		Kube:   w.Client("lanyard"),
		Issuer: func(context.Context) (string, error) { return w.Kube.Issuer(), nil },
		AWS: &aws.Config{Region: w.Region, BaseEndpoint: aws.String(w.URL), Credentials: credentials.NewStaticCredentialsProvider(id, secret, ""),
			RetryMaxAttempts: 1},
		Now: w.Clock.Now, Sleep: w.Pass, Spacing: func() time.Duration { return 0 },
	}}
}

// writes lists what lanyard sent that may have changed something.
func (s *stage) writes() []string {
	var out []string
	calls, _ := s.AWS.Calls(0)
	for _, c := range calls {
		if c.Mutating && c.Operation != "AssumeRole" {
			out = append(out, c.Service+":"+c.Operation)
		}
	}
	for _, c := range s.Kube.Calls("lanyard") {
		if c.Mutating {
			out = append(out, c.Verb+" "+c.Resource)
		}
	}
	return out
}

func (s *stage) syncer(t *testing.T) *app.Syncer {
	t.Helper()
	sy, err := app.NewSyncer(t.Context(), s.opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := sy.Close(); err != nil {
			t.Error(err)
		}
	})
	return sy
}

func (s *stage) rest(t *testing.T, sy *app.Syncer) report.Round {
	t.Helper()
	r, err := sy.Rest(t.Context(), 12*time.Hour, func(report.Round) {})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// TestLaw4SecondPassWritesNothing: the example fleet is repaired, and the next pass
// over the same world sends nothing that could change it.
func TestLaw4SecondPassWritesNothing(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	sy := s.syncer(t)
	first := s.rest(t, sy)
	wrote := s.writes()
	for _, want := range []string{"iam:UpdateAssumeRolePolicy", "eks:UpdatePodIdentityAssociation", "patch serviceaccounts"} {
		if !slices.Contains(wrote, want) {
			t.Errorf("the first pass wrote %v, without %s", wrote, want)
		}
	}
	if len(first.Gaps) != 0 {
		t.Errorf("gaps: %v", first.Gaps)
	}
	second := s.rest(t, sy)
	if len(second.Plan.Steps) != 0 || len(s.writes()) != len(wrote) {
		t.Errorf("the second pass planned %v and wrote %v", second.Plan.Steps, s.writes()[len(wrote):])
	}
	again := s.rest(t, s.syncer(t)) // a process that remembers nothing
	if len(again.Plan.Steps) != 0 || len(s.writes()) != len(wrote) {
		t.Errorf("a fresh process planned %v and wrote %v", again.Plan.Steps, s.writes()[len(wrote):])
	}
}

// TestLaw7ReadersNeverWrite: what looks sends no call that could change anything.
func TestLaw7ReadersNeverWrite(t *testing.T) {
	t.Parallel()
	t.Run("reader", func(t *testing.T) {
		t.Parallel()
		s := newStage(t)
		r, err := app.NewReader(t.Context(), s.opts)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		cluster, err := r.Cluster(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		git, err := app.OpenGit(s.opts.Desired)
		if err != nil {
			t.Fatal(err)
		}
		defer git.Close()
		state, err := git.Latest(t.Context(), cluster)
		if err != nil {
			t.Fatal(err)
		}
		snapshot, err := r.Observe(t.Context(), state)
		if err != nil {
			t.Fatal(err)
		}
		if calls, _ := s.AWS.Calls(0); len(calls) == 0 || len(snapshot.Facts().ServiceAccounts) == 0 {
			t.Errorf("nothing was looked at: %d calls, %d ServiceAccounts", len(calls), len(snapshot.Facts().ServiceAccounts))
		}
		if wrote := s.writes(); len(wrote) != 0 {
			t.Errorf("looking wrote %v", wrote)
		}
	})
	t.Run("mode observe", func(t *testing.T) {
		t.Parallel()
		s := newStage(t)
		s.opts.Config.Mode = desired.ModeObserve
		r := s.rest(t, s.syncer(t))
		if len(r.Plan.Steps) == 0 || len(s.writes()) != 0 {
			t.Errorf("mode observe planned %d steps and wrote %v; want some and none", len(r.Plan.Steps), s.writes())
		}
	})
	t.Run("no configuration", func(t *testing.T) {
		t.Parallel()
		s := newStage(t)
		s.opts.Config, s.opts.Cluster = nil, "irsa-lab"
		if s.rest(t, s.syncer(t)); len(s.writes()) != 0 {
			t.Errorf("without a configuration it wrote %v", s.writes())
		}
	})
}

// TestSnapshotRoundTrip: what is observed of the sandbox, written to a file and read
// again, compares as the live world does.
func TestSnapshotRoundTrip(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	sy := s.syncer(t)
	round, err := sy.Round(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	r, err := app.NewReader(t.Context(), s.opts)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	git, err := app.OpenGit(s.opts.Desired)
	if err != nil {
		t.Fatal(err)
	}
	defer git.Close()
	cluster, err := r.Cluster(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	state, err := git.Latest(t.Context(), cluster)
	if err != nil {
		t.Fatal(err)
	}
	snapshot, err := r.Observe(t.Context(), state)
	if err != nil {
		t.Fatal(err)
	}
	data, err := snapshot.Facts().EncodeYAML()
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "live.yaml")
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
	back, err := live.Decode(data)
	if err != nil {
		t.Fatalf("%v in\n%s", err, data)
	}
	kinds := func(r diff.Result) (out []string) {
		for _, f := range r.Findings {
			out = append(out, f.Subject.String()+" "+string(f.Kind))
		}
		return out
	}
	got := kinds(diff.Compare(state, back, app.RailsOf(back.Facts().GuardRails).Diff))
	want := kinds(diff.Compare(state, snapshot, app.Rails(s.opts.Config, nil).Diff))
	if !slices.Equal(got, want) || len(kinds(round.Result)) == 0 {
		t.Errorf("from the file %v\nlive         %v", got, want)
	}
}

// TestClusterMismatch: an API server of another cluster halts everything.
func TestClusterMismatch(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.Kube.SetIssuer("https://oidc.eks.eu-west-1.amazonaws.com/id/ANOTHER")
	r := s.rest(t, s.syncer(t))
	if !r.Result.Mismatch() || len(r.Plan.Steps) != 0 || len(s.writes()) != 0 {
		t.Errorf("mismatch %t, steps %v, wrote %v; want true, none, none", r.Result.Mismatch(), r.Plan.Steps, s.writes())
	}
}

// TestLaw2Gaps: a read that is refused yields a gap, exit is not silence, and nothing
// is written about what is missing.
func TestLaw2Gaps(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		fault func(*stage)
	}{
		{"associations refused", func(s *stage) {
			s.AWS.AddFault(awsd.Fault{Service: "eks", Operation: "ListPodIdentityAssociations", Kind: awsd.Refuse})
		}},
		{"pods refused", func(s *stage) {
			s.Kube.Inject(kubed.Fault{User: "lanyard", Verb: "list", Resource: "pods", Failure: kubed.Forbidden})
		}},
		{"ServiceAccounts refused", func(s *stage) {
			s.Kube.Inject(kubed.Fault{User: "lanyard", Verb: "list", Resource: "serviceaccounts", Failure: kubed.Forbidden})
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := newStage(t)
			tt.fault(s)
			r := s.rest(t, s.syncer(t))
			if len(r.Gaps) == 0 || r.InSync() || len(r.Plan.Steps) != 0 || len(s.writes()) != 0 {
				t.Errorf("gaps %v, in sync %t, steps %v, wrote %v; want gaps and nothing written", r.Gaps, r.InSync(), r.Plan.Steps, s.writes())
			}
			if !slices.ContainsFunc(r.Plan.Holds, func(h plan.Hold) bool { return h.Reason == plan.Blind }) {
				t.Errorf("holds %v; want blind", r.Plan.Holds)
			}
		})
	}
}

// TestWritesThatFail: each write of a repair is refused, fails half way or fails after
// it took effect, once; more rounds come to the same rest.
func TestWritesThatFail(t *testing.T) {
	t.Parallel()
	want := newStage(t)
	clean := want.rest(t, want.syncer(t))
	for _, op := range []struct{ service, operation string }{{"iam", "UpdateAssumeRolePolicy"}, {"eks", "UpdatePodIdentityAssociation"}} {
		for _, kind := range []awsd.Kind{awsd.Throttle, awsd.Fail, awsd.DoneButFailed, awsd.Cut, awsd.DoneButCut, awsd.Lost} {
			t.Run(op.operation+"/"+string(kind), func(t *testing.T) {
				t.Parallel()
				s := newStage(t)
				s.AWS.AddFault(awsd.Fault{Service: op.service, Operation: op.operation, Kind: kind, Times: 1})
				r := s.rest(t, s.syncer(t))
				if len(r.Plan.Steps) != 0 || len(r.Result.Findings) != len(clean.Result.Findings) {
					t.Errorf("at rest with steps %v and findings %v; want none and %v", r.Plan.Steps, r.Result.Findings, clean.Result.Findings)
				}
			})
		}
	}
}
