package app_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/lanyard-io/lanyard/desired"
	"github.com/lanyard-io/lanyard/internal/rights"
	"github.com/lanyard-io/lanyard/sync/report"
)

// mover is a stage in mode migrate, as whose user nothing but dry runs of pods goes.
func mover(t *testing.T, mechanism string) *stage {
	t.Helper()
	s := newStage(t)
	if err := s.World.Kube.SeedManifests(rights.Place{Namespace: "lanyard", ServiceAccount: "lanyard"}.Admission()); err != nil {
		t.Fatal(err)
	}
	s.opts.Kube = s.Client("system:serviceaccount:lanyard:lanyard")
	s.opts.Config.Mode = desired.ModeMigrate
	s.declare(t, mechanism)
	return s
}

func (s *stage) declare(t *testing.T, mechanism string) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "fleet")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "s3-reader.yaml"), []byte(mapping(mechanism)), 0o600); err != nil {
		t.Fatal(err)
	}
	s.opts.Desired.Dirs = []string{dir}
}

// mapping is that of demo/s3-reader.
func mapping(mechanism string) string {
	return `apiVersion: lanyard.io/v1alpha1
kind: IdentityMapping
metadata: {name: s3-reader, namespace: demo}
spec:
  roleARN: arn:aws:iam::123456789012:role/eks-irsa-lab-demo-s3-reader-role
  mechanism: ` + mechanism + `
  adopt: [annotation, trust, association]
  migration: {proof: declared, soak: 5m, sdk: aws-sdk-go-v2/1.40.0, allowDisruption: true}
`
}

// on returns how the subject's pods get their credentials now, by what AWS would answer.
func (s *stage) on(t *testing.T) string {
	t.Helper()
	pods, err := s.Client("judge").CoreV1().Pods("demo").List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for i := range pods.Items {
		p := &pods.Items[i]
		if p.Spec.ServiceAccountName != "s3-reader" {
			continue
		}
		for _, g := range s.Grants(p) {
			word := g.Mechanism
			if g.Role == "" {
				word += " refused: " + g.Reason
			}
			out = append(out, word)
		}
	}
	slices.Sort(out)
	return strings.Join(slices.Compact(out), ", ")
}

// carry makes rounds until lanyard is at rest, and returns the actions of its writes.
func (s *stage) carry(t *testing.T) (actions []string) {
	t.Helper()
	sy := s.syncer(t)
	r, err := sy.Rest(t.Context(), 24*time.Hour, func(r report.Round) {
		for _, o := range r.Outcomes {
			t.Logf("%s %s %s %v", s.Clock.Now().Format("15:04:05"), o.Result, o.Step.Action, o.Err)
			if o.Wrote() {
				actions = append(actions, o.Step.Action.Kind())
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range r.Plan.Holds {
		t.Log("held: ", h.Subject, h.Reason, h.Message)
	}
	return actions
}

// TestMigrate: lanyard's own loop carries a workload to Pod Identity, and back, by the
// real SDK's calls; at rest nothing of the other side is left, and nothing is done twice.
func TestMigrate(t *testing.T) {
	t.Parallel()
	s := mover(t, "pod-identity")
	if on := s.on(t); on != "irsa" {
		t.Fatalf("at first its pods are on %q", on)
	}
	there := []string{"put-trust-statement", "create-association", "evict-pod", "evict-pod", "drop-annotation", "revoke-trust"}
	if got := s.carry(t); !slices.Equal(got, there) || s.on(t) != "pod-identity" {
		t.Fatalf("there: got %q, want %q; its pods are on %q", got, there, s.on(t))
	}
	if got := s.carry(t); len(got) > 0 {
		t.Fatalf("at rest, a new process writes %q", got)
	}
	s.declare(t, "irsa")
	back := []string{"put-trust-statement", "set-annotation", "delete-association", "restart-workload", "revoke-trust"}
	if got := s.carry(t); !slices.Equal(got, back) || s.on(t) != "irsa" {
		t.Fatalf("back: got %q, want %q; its pods are on %q", got, back, s.on(t))
	}
	if got := s.carry(t); len(got) > 0 {
		t.Fatalf("at rest, a new process writes %q", got)
	}
}

// TestMigrateUnguarded: without the policy that keeps lanyard from making real pods no
// workload crosses.
func TestMigrateUnguarded(t *testing.T) {
	t.Parallel()
	s := mover(t, "pod-identity")
	s.opts.Kube = s.Client("somebody-else")
	if got := s.carry(t); !slices.Equal(got, []string{"put-trust-statement"}) || s.on(t) != "irsa" {
		t.Errorf("got %q; its pods are on %q", got, s.on(t))
	}
}
