package app_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lanyard-io/lanyard/desired"
	"github.com/lanyard-io/lanyard/examples"
	"github.com/lanyard-io/lanyard/internal/app"
	"github.com/lanyard-io/lanyard/sync/audit"
	"github.com/lanyard-io/lanyard/sync/live"
)

// TestAudit: what an audit needs is read over the wire: the report of the cluster itself
// says of each ServiceAccount what that of the snapshot file says, and the role that
// nothing names is found too. Nothing is written.
func TestAudit(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	r, err := app.NewReader(t.Context(), s.opts)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	snap, err := r.Audit(t.Context(), desired.State{})
	if err != nil {
		t.Fatal(err)
	}
	file, err := live.Decode(examples.Live)
	if err != nil {
		t.Fatal(err)
	}
	type line struct {
		Name, Mechanism, Role, Attached, Inline, Boundary, Tags, LastUsed, Trust, Refuses string
	}
	lines := func(r audit.Report) []line {
		var out []line
		for _, w := range r.ServiceAccounts {
			out = append(out, line{w.Name(), w.Mechanism.String(), w.Role, strings.Join(w.Attached, ","), strings.Join(w.Inline, ","), w.Boundary, strings.Join(w.Tags, ","), w.LastUsed, w.Trust,
				w.Refuses[0].Result + " " + w.Refuses[1].Result})
		}
		return out
	}
	o := audit.Options{RoleName: audit.DefaultRoleName}
	got, want := audit.New(desired.State{}, snap, o), audit.New(desired.State{}, file, o)
	if diff := cmp.Diff(lines(want), lines(got)); diff != "" {
		t.Errorf("ServiceAccounts (-file +cluster)\n%s", diff)
	}
	checks := func(r audit.Report) map[string]bool {
		out := map[string]bool{}
		for _, f := range r.Findings {
			if strings.HasPrefix(string(f.Check), "star-") || f.Check == audit.OrphanRole || f.Check == audit.AWSManaged || f.Check == audit.ExternalID || f.Check == audit.TrustTooWide {
				out[f.About()+" "+string(f.Check)] = true
			}
		}
		return out
	}
	if diff := cmp.Diff(checks(want), checks(got)); diff != "" || !checks(got)["arn:aws:iam::123456789012:role/AmazonEKSLoadBalancerControllerRole orphan-role"] {
		t.Errorf("findings (-file +cluster)\n%s", diff)
	}
	if len(got.Unknown)+len(got.Gaps) > 0 {
		t.Errorf("unknown %v, gaps %v", got.Unknown, got.Gaps)
	}
	if w := s.writes(); len(w) > 0 {
		t.Errorf("an audit wrote: %v", w)
	}
}
