package app_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lanyard-io/lanyard/desired"
	"github.com/lanyard-io/lanyard/internal/app"
	"github.com/lanyard-io/lanyard/internal/identity"
	"github.com/lanyard-io/lanyard/migrate/proof"
)

// TestProver: CloudTrail is asked where the configuration says so, in the Regions that a
// question needs, and Prometheus where it has one.
func TestProver(t *testing.T) {
	t.Parallel()
	prometheus := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(`{"status":"success","data":{"resultType":"scalar","result":[1,"1"]}}`))
	}))
	t.Cleanup(prometheus.Close)
	trail := proof.Ask{Subject: identity.Subject{Namespace: "demo", ServiceAccount: "a"}, Role: identity.RoleARN{Partition: "aws", Account: "123456789012", Path: "/", Name: "r"},
		Wanted: identity.PodIdentity, Proof: desired.ProofCloudTrail, SessionTags: true, Global: true}
	query := trail
	query.Subject.ServiceAccount, query.Proof, query.Query = "b", desired.ProofQuery, "up"
	for _, tt := range []struct {
		name          string
		change        func(*desired.Configuration)
		calls         map[string]int // by Region
		trail, answer string         // parts of why
	}{
		{"nothing", func(*desired.Configuration) {}, map[string]int{}, "features.cloudtrail", "prometheus: {url: ...}"},
		{"CloudTrail", func(c *desired.Configuration) { c.Features.CloudTrail = true }, map[string]int{"eu-west-1": 4, "us-east-1": 2}, "has shown no AssumeRole", "prometheus: {url: ...}"},
		{"Prometheus", func(c *desired.Configuration) { c.PrometheusURL = prometheus.URL }, map[string]int{}, "features.cloudtrail", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := newStage(t)
			tt.change(s.opts.Config)
			r, err := app.NewReader(t.Context(), s.opts)
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			p, err := r.Prover(t.Context(), proof.Limits{Rate: 1000})
			if err != nil {
				t.Fatal(err)
			}
			uses := p.Look(t.Context(), []proof.Ask{trail, query})
			if got := uses[trail.Subject]; !strings.Contains(got.Why, tt.trail) || got.Looked.IsZero() == (len(tt.calls) > 0) {
				t.Errorf("by CloudTrail: %+v, want %q", got, tt.trail)
			}
			if got := uses[query.Subject]; got.New.IsZero() == (tt.answer == "") || !strings.Contains(got.Why, tt.answer) {
				t.Errorf("by Prometheus: %+v, want %q", got, tt.answer)
			}
			got := map[string]int{}
			calls, _ := s.AWS.Calls(0)
			for _, c := range calls {
				if c.Service == "cloudtrail" {
					got[c.Region]++
				}
			}
			if d := cmp.Diff(tt.calls, got); d != "" {
				t.Errorf("calls (-want +got)\n%s", d)
			}
		})
	}
}
