package observe

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lanyard-io/lanyard/internal/identity"
	"github.com/lanyard-io/lanyard/internal/sandbox/awsd"
	"github.com/lanyard-io/lanyard/sync/live"
)

const readerRole = "arn:aws:iam::123456789012:role/team/s3-reader"

func TestObserveAWS(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	role := w.putRole(readerRole)
	a := w.associate("demo", "s3-reader", readerRole)
	w.must(w.PutAddon(awsd.Addon{Cluster: lab, Name: "vpc-cni", Version: "v1.20.4-eksbuild.1"}))
	w.must(w.PutFargateProfile(awsd.FargateProfile{Cluster: lab, Name: "karpenter", Selectors: []awsd.FargateSelector{{Namespace: "karpenter", Labels: map[string]string{"a": "*"}}}}))
	w.must(w.PutCluster(awsd.Cluster{ARN: lab, Version: "1.35", Issuer: issuer, AutoMode: true, RemoteNodeCIDRs: []string{"10.9.0.0/16"}}))
	s := w.observe(w.observer())
	wantNoGaps(t, s)
	f := s.Facts()
	if c := f.Cluster; c.ARN != lab || c.Issuer != issuer || c.APIServerIssuer != issuer || !c.AutoMode || !c.Hybrid || c.Outpost || c.Caller == "" {
		t.Errorf("cluster: got %+v", c)
	}
	want := live.Association{Namespace: "demo", ServiceAccount: "s3-reader", ID: a.ID, ARN: a.ARN(), Described: true, Role: role,
		ExternalID: f.Associations[0].ExternalID, CreatedAt: w.clock.Now(), ModifiedAt: w.clock.Now()}
	f.Associations[0].Tags = nil
	if d := cmp.Diff([]live.Association{want}, f.Associations); d != "" {
		t.Errorf("associations (-want +got):\n%s", d)
	}
	if d := cmp.Diff([]live.Addon{{Name: "vpc-cni", Version: "v1.20.4-eksbuild.1", Status: "ACTIVE", Described: true}}, f.Addons); d != "" {
		t.Errorf("add-ons (-want +got):\n%s", d)
	}
	if d := cmp.Diff([]live.FargateProfile{{Name: "karpenter", Status: "ACTIVE", Described: true,
		Selectors: []live.FargateSelector{{Namespace: "karpenter", Labels: map[string]string{"a": "*"}}}}}, f.FargateProfiles); d != "" {
		t.Errorf("Fargate profiles (-want +got):\n%s", d)
	}
	if d := cmp.Diff([]live.Account{{ID: acct, TrustSizeQuota: 2048, Roles: 1, IdentityProviders: 1}}, f.Accounts); d != "" {
		t.Errorf("accounts (-want +got):\n%s", d)
	}
	r, presence := s.Role(role)
	if presence != live.Present || r.TrustPolicy != podTrust || r.Tags["team"] != "a+b" || r.MaxSessionSeconds != 3600 {
		t.Errorf("role that only an association names: got %s %+v", presence, r)
	}
	if p, presence := s.Provider(provider); presence != live.Present || p.ClientIDs[0] != "sts.amazonaws.com" {
		t.Errorf("provider: got %s %+v", presence, p)
	}
}

func TestAssociationsAreDescribedOnceThenRolling(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.putRole(readerRole)
	for i := range 240 {
		w.associate("demo", fmt.Sprintf("sa-%03d", i), readerRole)
	}
	o := w.observer(func(o *Options) { o.DescribeInterval = 2 * time.Hour })
	describes := func(want int) {
		t.Helper()
		s := w.observe(o)
		wantNoGaps(t, s)
		if got := w.calls()["DescribePodIdentityAssociation"]; got != want {
			t.Errorf("DescribePodIdentityAssociation: got %d calls, want %d", got, want)
		}
		for _, a := range s.Facts().Associations {
			if !a.Described {
				t.Fatalf("association of %s: not described", a.Subject())
			}
		}
	}
	describes(240)
	describes(0) // the same moment
	w.clock.Advance(time.Minute)
	describes(2) // 240 in 120 minutes
	w.associate("demo", "new", readerRole)
	w.DeleteAssociation(lab, "demo", "sa-000")
	describes(1)
	o.Forget(identity.Subject{Namespace: "demo", ServiceAccount: "new"})
	describes(1)
	w.clock.Advance(2 * time.Hour)
	describes(240)

	// A minute at a time, each is read again within the interval.
	seen := map[string]time.Time{}
	for range 120 {
		w.clock.Advance(time.Minute)
		w.observe(o)
		for id, d := range o.described.entries {
			seen[id] = d.at
		}
	}
	for id, at := range seen {
		if age := w.clock.Now().Sub(at); age > 2*time.Hour {
			t.Errorf("association %s: described %s ago, want at most 2h", id, age)
		}
	}
}

// TestRefreshThatFails: what was known of an association does not outlive a failed
// attempt to read it again.
func TestRefreshThatFails(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.putRole(readerRole)
	w.associate("demo", "s3-reader", readerRole)
	o := w.observer()
	w.observe(o)
	lift := w.AddFault(awsd.Fault{Operation: "DescribePodIdentityAssociation", Kind: awsd.Throttle})
	w.clock.Advance(2 * time.Hour)
	for range 2 {
		if _, p := w.observe(o).Association(reader); p != live.Unknown {
			t.Errorf("association that cannot be read again: got %s, want unknown", p)
		}
	}
	lift()
	if _, p := w.observe(o).Association(reader); p != live.Present {
		t.Errorf("association afterwards: got %s, want present", p)
	}
}

func TestUpdatedAssociationShowsAfterForget(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.putRole(readerRole)
	second := w.putRole("arn:aws:iam::123456789012:role/second")
	a := w.associate("demo", "s3-reader", readerRole)
	o := w.observer()
	w.observe(o)
	a.RoleARN = second.String()
	_, err := w.PutAssociation(a)
	w.must(err)
	o.Forget(reader)
	if got, p := w.observe(o).Association(reader); p != live.Present || got.Role != second {
		t.Errorf("after Forget: got %s %s, want %s", p, got.Role, second)
	}
}

// TestEKSGaps: each read of EKS, refused, throttled and failed.
func TestEKSGaps(t *testing.T) {
	t.Parallel()
	reasons := []struct {
		kind awsd.Kind
		want live.GapReason
	}{{awsd.Refuse, live.GapRefused}, {awsd.Throttle, live.GapThrottled}, {awsd.Fail, live.GapFailed}, {awsd.Cut, live.GapFailed}, {awsd.Hang, live.GapFailed}}
	reads := []struct {
		operation string
		source    live.Source
		scoped    bool
	}{
		{"ListPodIdentityAssociations", live.SourceListAssociations, false},
		{"DescribePodIdentityAssociation", live.SourceDescribeAssociation, true},
		{"ListAddons", live.SourceListAddons, false},
		{"DescribeAddon", live.SourceDescribeAddon, true},
		{"ListFargateProfiles", live.SourceListFargateProfiles, false},
		{"DescribeFargateProfile", live.SourceDescribeFargate, true},
		{"GetCallerIdentity", live.SourceCallerIdentity, false},
	}
	for _, read := range reads {
		for _, reason := range reasons {
			t.Run(read.operation+" "+string(reason.kind), func(t *testing.T) {
				t.Parallel()
				w := newWorld(t)
				w.putRole(readerRole)
				a := w.associate("demo", "s3-reader", readerRole)
				w.must(w.PutAddon(awsd.Addon{Cluster: lab, Name: "x"}))
				w.must(w.PutFargateProfile(awsd.FargateProfile{Cluster: lab, Name: "x", Selectors: []awsd.FargateSelector{{Namespace: "x"}}}))
				lift := w.AddFault(awsd.Fault{Operation: read.operation, Kind: reason.kind})
				o := w.observer(func(o *Options) {
					if reason.kind == awsd.Hang {
						o.Limits.Call = 5 * time.Second
					}
				})
				s := w.observe(o)
				scope := ""
				if read.scoped {
					scope = "x"
				}
				if read.source == live.SourceDescribeAssociation {
					scope = a.ID
				}
				wantGap(t, s, read.source, scope, reason.want, "")
				wantPresence := live.Present
				if read.source == live.SourceListAssociations || read.source == live.SourceDescribeAssociation {
					wantPresence = live.Unknown
				}
				if _, p := s.Association(reader); p != wantPresence {
					t.Errorf("association: got %s, want %s", p, wantPresence)
				}
				lift()
				wantNoGaps(t, w.observe(o))
			})
		}
	}
}

func TestTruncatedListLeavesTheRestUnknown(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.putRole(readerRole)
	for i := range 150 {
		w.associate("demo", fmt.Sprintf("sa-%03d", i), readerRole)
	}
	o := w.observer()
	lift := w.AddFault(awsd.Fault{Operation: "ListPodIdentityAssociations", Kind: awsd.Throttle, Skip: 1})
	s := w.observe(o)
	wantGap(t, s, live.SourceListAssociations, "", live.GapTruncated, "page 2: throttled")
	came := len(s.Facts().Associations)
	if came != 100 {
		t.Fatalf("associations: got %d, want the first page's 100", came)
	}
	if _, p := s.Association(s.Facts().Associations[0].Subject()); p != live.Present {
		t.Errorf("association of the first page: got %s, want present", p)
	}
	if _, p := s.Association(reader); p != live.Unknown {
		t.Errorf("association that no page showed: got %s, want unknown", p)
	}
	lift()
	if s := w.observe(o); len(s.Facts().Associations) != 150 {
		t.Errorf("associations afterwards: got %d, want 150", len(s.Facts().Associations))
	}
	w.AddFault(awsd.Fault{Operation: "ListPodIdentityAssociations", Kind: awsd.TruncatedPage})
	wantGap(t, w.observe(o), live.SourceListAssociations, "", live.GapTruncated, "Invalid token")
}

// TestManyRefusals: a series of calls ends after a few refusals, and is one gap.
func TestManyRefusals(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.putRole(readerRole)
	for i := range 100 {
		w.associate("demo", fmt.Sprintf("sa-%03d", i), readerRole)
	}
	w.AddFault(awsd.Fault{Operation: "DescribePodIdentityAssociation", Kind: awsd.Refuse})
	s := w.observe(w.observer())
	wantGap(t, s, live.SourceDescribeAssociation, "", live.GapRefused, "100 of 100: AccessDenied")
	if got := w.calls()["DescribePodIdentityAssociation"]; got < giveUp || got > giveUp+8 {
		t.Errorf("calls: got %d, want about %d", got, giveUp)
	}
	for _, a := range s.Facts().Associations {
		if a.Described {
			t.Errorf("association %s: described without an answer", a.ID)
		}
	}
}

func TestTwoAssociationsOfOneSubject(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC)
	mk := func(id string, described bool, created time.Time) live.Association {
		return live.Association{Namespace: "demo", ServiceAccount: "s3-reader", ID: id, Described: described, CreatedAt: created}
	}
	old, young, dark := mk("a", true, at), mk("b", true, at.Add(time.Hour)), mk("c", false, time.Time{})
	for _, tt := range []struct {
		name string
		in   []live.Association
		want live.Association
	}{
		{"the newer counts", []live.Association{old, young}, young},
		{"one that is not described spoils both", []live.Association{dark, young}, mk("b", false, young.CreatedAt)},
		{"the same twice", []live.Association{old, old}, old},
	} {
		if d := cmp.Diff([]live.Association{tt.want}, onePerSubject(tt.in)); d != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, d)
		}
	}
}
