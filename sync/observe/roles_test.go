package observe

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/google/go-cmp/cmp"

	"github.com/lanyard-io/lanyard/internal/identity"
	"github.com/lanyard-io/lanyard/internal/remedy"
	"github.com/lanyard-io/lanyard/internal/sandbox/awsd"
	"github.com/lanyard-io/lanyard/sync/live"
)

// TestFewestCalls: after the first look, which is in bulk, roles are read in bulk or
// singly, whichever is fewer calls.
func TestFewestCalls(t *testing.T) {
	t.Parallel()
	type calls = map[string]int
	tests := []struct {
		name         string
		exist, asked int
		refused      []string
		want         calls
	}{
		{"none asked", 3, 0, nil, calls{}},
		{"one of few", 3, 1, nil, calls{"GetRole": 1}},
		{"two of few fit one page", 3, 2, nil, calls{"GetAccountAuthorizationDetails": 1}},
		{"three of many pages", 2500, 3, nil, calls{"GetRole": 3}},
		{"four of many pages", 2500, 4, nil, calls{"GetAccountAuthorizationDetails": 3}},
		{"details refused", 30, 20, []string{"GetAccountAuthorizationDetails"}, calls{"ListRoles": 1}},
		{"both refused", 30, 20, []string{"GetAccountAuthorizationDetails", "ListRoles"}, calls{"ListRoles": 1, "GetRole": 20}},
		{"both refused, one asked", 30, 1, []string{"GetAccountAuthorizationDetails", "ListRoles"}, calls{"GetRole": 1}},
		{"nothing but GetRole, few asked", 30, 10, []string{"GetAccountSummary", "GetAccountAuthorizationDetails", "ListRoles"}, calls{"GetRole": 10}},
		{"no summary, many asked", 30, 11, []string{"GetAccountSummary"}, calls{"GetAccountAuthorizationDetails": 1}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			roles := w.putRoles(acct, tt.exist)
			for _, op := range tt.refused {
				w.AddFault(awsd.Fault{Operation: op, Kind: awsd.Refuse})
			}
			o := w.observer()
			w.observe(o, roles[:tt.asked]...)
			if got := roleCalls(w); got["GetAccountAuthorizationDetails"] != max(1, (tt.exist+999)/1000) {
				t.Errorf("first look: got calls %v, want the account in bulk", got)
			}
			s := w.observe(o, roles[:tt.asked]...)
			if d := cmp.Diff(tt.want, roleCalls(w)); d != "" {
				t.Errorf("calls (-want +got):\n%s", d)
			}
			for _, arn := range roles[:tt.asked] {
				if r, p := s.Role(arn); p != live.Present || r.TrustPolicy != podTrust {
					t.Fatalf("role %s: got %s, want present with its trust", arn, p)
				}
			}
			for _, g := range s.Gaps() {
				if g.Source != live.SourceAccountSummary {
					t.Errorf("gap: got %s, want none, because another way gave the answer", g)
				}
			}
		})
	}
}

// roleCalls are those of the calls since the last time that read roles.
func roleCalls(w *world) map[string]int {
	got := w.calls()
	maps.DeleteFunc(got, func(op string, _ int) bool {
		return !slices.Contains([]string{"GetRole", "ListRoles", "GetAccountAuthorizationDetails"}, op)
	})
	return got
}

// TestRefusedDetailsAreRemembered: a refusal is not asked for again each round.
func TestRefusedDetailsAreRemembered(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	roles := w.putRoles(acct, 20)
	lift := w.AddFault(awsd.Fault{Operation: "GetAccountAuthorizationDetails", Kind: awsd.Refuse})
	o := w.observer()
	w.observe(o, roles...)
	lift()
	w.calls()
	w.observe(o, roles...)
	if got := w.calls(); got["GetAccountAuthorizationDetails"] != 0 || got["ListRoles"] != 1 {
		t.Errorf("second round: got %v, want one ListRoles", got)
	}
	w.clock.Advance(detailsRest)
	w.observe(o, roles...)
	if got := w.calls(); got["GetAccountAuthorizationDetails"] != 1 || got["ListRoles"] != 0 {
		t.Errorf("an hour later: got %v, want one GetAccountAuthorizationDetails", got)
	}
}

// TestAnswersAreHeldAgainstTheARN: GetRole knows a name only.
func TestAnswersAreHeldAgainstTheARN(t *testing.T) {
	t.Parallel()
	for _, extra := range []int{0, 5} { // singly, in bulk
		w := newWorld(t)
		w.putRole("arn:aws:iam::123456789012:role/team/s3-reader")
		asked := w.putRoles(acct, extra)
		here := w.role("arn:aws:iam::123456789012:role/team/s3-reader")
		for _, tt := range []struct {
			arn  string
			want live.Presence
		}{
			{"arn:aws:iam::123456789012:role/team/s3-reader", live.Present},
			{"arn:aws:iam::123456789012:role/s3-reader", live.Absent},
			{"arn:aws:iam::123456789012:role/other/s3-reader", live.Absent},
			{"arn:aws-cn:iam::123456789012:role/team/s3-reader", live.Absent},
			{"arn:aws:iam::123456789012:role/none", live.Absent},
		} {
			s := w.observe(w.observer(), append(asked, w.role(tt.arn))...)
			wantNoGaps(t, s)
			if _, p := s.Role(w.role(tt.arn)); p != tt.want {
				t.Errorf("with %d more asked, %s: got %s, want %s", extra, tt.arn, p, tt.want)
			}
		}
		if _, p := w.observe(w.observer()).Role(here); p != live.Unknown {
			t.Errorf("role that nobody asked for: got %s, want unknown", p)
		}
	}
}

// TestWayLeadsElsewhere: a client of another account must not make its roles this one's.
func TestWayLeadsElsewhere(t *testing.T) {
	t.Parallel()
	for _, n := range []int{1, 4} {
		w := newWorld(t)
		w.putRoles(other, n)
		w.putRoles(acct, n)
		o := w.observer(func(o *Options) {
			o.IAM = func(string) (IAMReader, error) { return iam.NewFromConfig(w.config(acct)), nil }
		})
		var asked []identity.RoleARN
		for i := range n {
			asked = append(asked, w.role(fmt.Sprintf("arn:aws:iam::%s:role/r%04d", other, i)))
		}
		s := w.observe(o, asked...)
		if got := presenceOf(s, asked...); got != "unknown" {
			t.Errorf("%d roles: got %s, want unknown", n, got)
		}
		if len(s.Gaps()) == 0 {
			t.Errorf("%d roles: got no gap", n)
		}
	}
}

// TestIAMGaps: each read of IAM, refused, throttled and failed, leaves nothing absent.
func TestIAMGaps(t *testing.T) {
	t.Parallel()
	const trust, missingTrust = "arn:aws:iam::123456789012:role/r0000", "arn:aws:iam::123456789012:role/none"
	reasons := []struct {
		kind awsd.Kind
		want live.GapReason
	}{{awsd.Refuse, live.GapRefused}, {awsd.Throttle, live.GapThrottled}, {awsd.Fail, live.GapFailed}}
	for _, reason := range reasons {
		t.Run("one role "+string(reason.kind), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.putRoles(acct, 1)
			w.AddFault(awsd.Fault{Operation: "GetRole", Kind: reason.kind})
			o := w.observer()
			w.observe(o)
			s := w.observe(o, w.role(missingTrust))
			wantGap(t, s, live.SourceRole, missingTrust, reason.want, "")
			if got := presenceOf(s, w.role(missingTrust)); got != "unknown" {
				t.Errorf("role: got %s, want unknown", got)
			}
		})
		t.Run("in bulk "+string(reason.kind), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			roles := append(w.putRoles(acct, 9), w.role(missingTrust))
			for _, op := range []string{"GetAccountAuthorizationDetails", "ListRoles", "GetRole"} {
				w.AddFault(awsd.Fault{Operation: op, Kind: reason.kind})
			}
			s := w.observe(w.observer(), roles...)
			if got := presenceOf(s, roles...); got != "unknown" {
				t.Errorf("roles: got %s, want unknown", got)
			}
			if len(s.Gaps()) == 0 || s.Gaps()[0].Reason != reason.want {
				t.Errorf("gaps: got %v, want %s", s.Gaps(), reason.want)
			}
		})
		t.Run("the list "+string(reason.kind), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			roles := w.putRoles(acct, 9)
			w.AddFault(awsd.Fault{Operation: "GetAccountAuthorizationDetails", Kind: awsd.Refuse})
			w.AddFault(awsd.Fault{Operation: "ListRoles", Kind: reason.kind})
			s := w.observe(w.observer(), roles...)
			if reason.want == live.GapRefused {
				wantNoGaps(t, s)
				return
			}
			wantGap(t, s, live.SourceRoles, acct, reason.want, "")
		})
		t.Run("provider "+string(reason.kind), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.AddFault(awsd.Fault{Operation: "GetOpenIDConnectProvider", Kind: reason.kind})
			s := w.observe(w.observer())
			wantGap(t, s, live.SourceProvider, provider, reason.want, "")
			if _, p := s.Provider(provider); p != live.Unknown {
				t.Errorf("provider: got %s, want unknown", p)
			}
		})
		t.Run("providers "+string(reason.kind), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.DeleteProvider(provider)
			lift := w.AddFault(awsd.Fault{Operation: "ListOpenIDConnectProviders", Kind: reason.kind})
			s := w.observe(w.observer())
			wantGap(t, s, live.SourceListProviders, acct, reason.want, "")
			if _, p := s.Provider(provider); p != live.Unknown {
				t.Errorf("provider: got %s, want unknown", p)
			}
			lift()
			s = w.observe(w.observer())
			wantNoGaps(t, s)
			if _, p := s.Provider(provider); p != live.Absent {
				t.Errorf("provider that is not there: got %s, want absent", p)
			}
		})
		t.Run("summary "+string(reason.kind), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.AddFault(awsd.Fault{Operation: "GetAccountSummary", Kind: reason.kind})
			s := w.observe(w.observer())
			wantGap(t, s, live.SourceAccountSummary, acct, reason.want, "")
			if _, p := s.TrustQuota(acct); p != live.Unknown {
				t.Errorf("quota: got %s, want unknown", p)
			}
			if _, p := s.Provider(provider); p != live.Present {
				t.Errorf("provider: got %s, want present in spite of it", p)
			}
		})
	}
}

func TestTruncatedBulkReadLeavesTheRestUnknown(t *testing.T) {
	t.Parallel()
	for _, op := range []string{"GetAccountAuthorizationDetails", "ListRoles"} {
		w := newWorld(t)
		roles := w.putRoles(acct, 1500)
		if op == "ListRoles" {
			w.AddFault(awsd.Fault{Operation: "GetAccountAuthorizationDetails", Kind: awsd.Refuse})
		}
		w.AddFault(awsd.Fault{Operation: op, Kind: awsd.Throttle, Skip: 1})
		asked := append(roles, w.role("arn:aws:iam::123456789012:role/none"))
		s := w.observe(w.observer(), asked...)
		wantGap(t, s, live.Source("iam:"+op), acct, live.GapTruncated, "page 2: throttled")
		if got := presenceOf(s, asked...); got != "present,unknown" {
			t.Errorf("%s cut short: got %s, want those of the first page present, the rest unknown", op, got)
		}
	}
}

func TestListedProviderThatIsNotFound(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.AddFault(awsd.Fault{Operation: "GetOpenIDConnectProvider", Kind: awsd.Answer, Code: "NoSuchEntity", Status: 404})
	s := w.observe(w.observer())
	wantGap(t, s, live.SourceProvider, provider, live.GapFailed, "lists it")
	if _, p := s.Provider(provider); p != live.Unknown {
		t.Errorf("provider: got %s, want unknown", p)
	}
}

// TestOtherAccounts: without a way in, by a refused one, and by a role with an external ID.
func TestOtherAccounts(t *testing.T) {
	t.Parallel()
	const (
		target = "arn:aws:iam::210987654321:role/eks-irsa-lab-accountb-direct"
		entry  = "arn:aws:iam::210987654321:role/lanyard-reader"
		trust  = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"123456789012"},"Action":"sts:AssumeRole","Condition":{"StringEquals":{"sts:ExternalId":"irsa-lab-accountb-shared-id"}}}]}`
	)
	enter := func(w *world, externalID string) func(*Options) {
		return func(o *Options) {
			o.IAM = func(account string) (IAMReader, error) {
				cfg := w.config(acct)
				if account != acct {
					cfg.Credentials = aws.NewCredentialsCache(stscreds.NewAssumeRoleProvider(sts.NewFromConfig(cfg), entry,
						func(o *stscreds.AssumeRoleOptions) { o.ExternalID = &externalID }))
				}
				return iam.NewFromConfig(cfg), nil
			}
		}
	}
	tests := []struct {
		name   string
		how    func(*world) func(*Options)
		reason live.GapReason
		want   string
	}{
		{"unconfigured", func(*world) func(*Options) {
			return func(o *Options) {
				inner := o.IAM
				o.IAM = func(account string) (IAMReader, error) {
					if account != acct {
						return nil, fmt.Errorf("account %s: %w", account, ErrUnconfigured)
					}
					return inner(account)
				}
			}
		}, live.GapUnconfigured, "unknown"},
		{"refused", func(w *world) func(*Options) { return enter(w, "wrong") }, live.GapRefused, "unknown"},
		{"with its external ID", func(w *world) func(*Options) { return enter(w, "irsa-lab-accountb-shared-id") }, "", "present"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.must(w.PutRole(awsd.Role{ARN: entry, Trust: trust}))
			arn := w.putRole(target)
			own := w.putRole(readerRole)
			o := w.observer(tt.how(w))
			for _, look := range []func() (*live.Snapshot, error){
				func() (*live.Snapshot, error) {
					return o.Observe(t.Context(), Ask{Roles: []identity.RoleARN{arn, own}})
				},
				func() (*live.Snapshot, error) { return o.Look(t.Context(), reader, arn, own) },
			} {
				s, err := look()
				w.must(err)
				if got := presenceOf(s, arn); got != tt.want {
					t.Errorf("role of the other account: got %s, want %s", got, tt.want)
				}
				if got := presenceOf(s, own); got != "present" {
					t.Errorf("role of the own account: got %s, want present", got)
				}
				if tt.reason != "" {
					wantGap(t, s, live.SourceAssumeRole, other, tt.reason, "")
					if _, p := s.Provider("arn:aws:iam::210987654321:oidc-provider/x"); p != live.Unknown {
						t.Errorf("provider of the other account: got %s, want unknown", p)
					}
				} else {
					wantNoGaps(t, s)
				}
			}
			calls, _ := w.Calls(0)
			for _, c := range calls {
				if tt.want != "present" && c.Service == "iam" && c.Account == other {
					t.Errorf("call %s: made without a way in", c.Operation)
				}
			}
		})
	}
}

// TestOurMarksAreFollowed: a role that bore a statement of lanyard's is looked at
// until it does not, though nothing names it any more.
func TestOurMarksAreFollowed(t *testing.T) {
	t.Parallel()
	const ours = `{"Version":"2012-10-17","Statement":[{"Sid":"Lanyard0123456789abcdef","Effect":"Allow","Principal":{"Service":"pods.eks.amazonaws.com"},"Action":["sts:AssumeRole","sts:TagSession"]}]}`
	w := newWorld(t)
	w.must(w.PutRole(awsd.Role{ARN: readerRole, Trust: ours}))
	arn := w.role(readerRole)
	o := w.observer()
	w.observe(o, arn)
	if got := presenceOf(w.observe(o), arn); got != "present" {
		t.Errorf("role with our statement, no longer asked for: got %s, want present", got)
	}
	w.must(w.PutRole(awsd.Role{ARN: readerRole, Trust: podTrust}))
	w.observe(o)
	if got := presenceOf(w.observe(o), arn); got != "unknown" {
		t.Errorf("role without it: got %s, want unknown", got)
	}
}

// TestOrphansAreFound: a statement of lanyard's on a role that nothing names is seen in
// the first look of a process and within each interval, however few roles are asked
// for; in between its role is looked at without another bulk read.
func TestOrphansAreFound(t *testing.T) {
	t.Parallel()
	const ours = `{"Version":"2012-10-17","Statement":[{"Sid":"Lanyard0123456789abcdef","Effect":"Allow","Principal":{"Service":"pods.eks.amazonaws.com"},"Action":["sts:AssumeRole","sts:TagSession"]}]}`
	const left = "arn:aws:iam::210987654321:role/left"
	for _, asked := range []int{0, 1, 5} {
		t.Run(fmt.Sprintf("%d asked", asked), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			roles := w.putRoles(acct, 2500)[:asked]
			w.must(w.PutRole(awsd.Role{ARN: readerRole, Trust: ours}))
			w.must(w.PutRole(awsd.Role{ARN: left, Trust: ours}))
			early, far := w.role(readerRole), w.role(left)
			o := w.observer(func(o *Options) { o.Accounts = []string{other}; o.DescribeInterval = time.Hour })
			s := w.observe(o, roles...)
			wantNoGaps(t, s)
			if got := presenceOf(s, early, far); got != "present" {
				t.Errorf("first look: roles with our statements are %s, want present", got)
			}
			w.calls()
			late := w.role("arn:aws:iam::123456789012:role/late")
			w.must(w.PutRole(awsd.Role{ARN: late.String(), Trust: ours}))
			w.clock.Advance(59 * time.Minute)
			if s := w.observe(o, roles...); presenceOf(s, early, far) != "present" {
				t.Errorf("second look: roles with our statements are %s, want present", presenceOf(s, early, far))
			}
			if got := roleCalls(w); asked < 3 && got["GetAccountAuthorizationDetails"] != 0 {
				t.Errorf("second look: got calls %v, want GetRole only", got)
			}
			w.clock.Advance(time.Minute)
			if got := presenceOf(w.observe(o, roles...), early, far, late); got != "present" {
				t.Errorf("an interval later: roles with our statements are %s, want present", got)
			}
		})
	}
}

// TestSweepThatFails: where the account cannot be read whole, the roles that are asked
// for do not suffer, and the next look tries again.
func TestSweepThatFails(t *testing.T) {
	t.Parallel()
	for _, skip := range []int{0, 1} {
		w := newWorld(t)
		arn := w.putRoles(acct, 1500)[1499]
		lift := w.AddFault(awsd.Fault{Operation: "GetAccountAuthorizationDetails", Kind: awsd.Throttle, Skip: skip})
		o := w.observer()
		s := w.observe(o, arn)
		wantGap(t, s, live.SourceAuthorizationDetails, acct, []live.GapReason{live.GapThrottled, live.GapTruncated}[skip], "")
		if got := presenceOf(s, arn); got != "present" {
			t.Errorf("the role asked for, %d pages read: got %s, want present", skip, got)
		}
		lift()
		w.calls()
		wantNoGaps(t, w.observe(o, arn))
		if got := roleCalls(w); got["GetAccountAuthorizationDetails"] != 2 {
			t.Errorf("next look: got calls %v, want the account in bulk", got)
		}
	}
}

// TestNamedRoles: annotations, admitted pods and associations name roles; those of
// accounts that nobody asked about are left alone.
func TestNamedRoles(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	arn := func(name string) string { return "arn:aws:iam::123456789012:role/" + name }
	f := &live.Facts{
		ServiceAccounts: []live.ServiceAccount{{Annotations: map[string]string{"eks.amazonaws.com/role-arn": arn("a")}}, {Annotations: map[string]string{"eks.amazonaws.com/role-arn": "junk"}},
			{Annotations: map[string]string{"eks.amazonaws.com/role-arn": "arn:aws:iam::210987654321:role/x"}}},
		Pods:         []live.Pod{{Containers: []live.Container{{Role: arn("b")}, {}}}},
		Associations: []live.Association{{Described: true, Role: w.role(arn("c")), TargetRole: w.role(arn("d"))}, {Described: true, Role: w.role(arn("e"))}, {}},
	}
	o := New(w.options())
	o.visits(t.Context(), f, identity.Cluster{Account: acct, Partition: "aws"}, Ask{}, &gaps{})
	var got []string
	for _, r := range f.Roles {
		got = append(got, r.ARN.String())
	}
	if d := cmp.Diff([]string{arn("a"), arn("b"), arn("c"), arn("d"), arn("e")}, got); d != "" {
		t.Errorf("roles looked at (-want +got):\n%s", d)
	}
	if len(f.Accounts) != 1 {
		t.Errorf("accounts: got %+v, want the cluster's own", f.Accounts)
	}
}

func TestDocumentThatCannotBeDecoded(t *testing.T) {
	t.Parallel()
	arn, bad, plus := readerRole, "%zz", "%7B%22a%22%3A%22b+c%22%7D"
	if _, err := roleFacts(&arn, &bad, nil, nil); err == nil {
		t.Error("roleFacts of a bad escape: got no error")
	}
	r, err := roleFacts(&arn, &plus, nil, nil)
	if err != nil || r.TrustPolicy != `{"a":"b+c"}` {
		t.Errorf("roleFacts: got %q, %v, want the plus sign kept", r.TrustPolicy, err)
	}
	if _, err := marker(true, nil); err == nil {
		t.Error("a truncated page without a marker: got no error")
	}
}

func TestClusterHalts(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	o := w.observer(func(o *Options) { o.Cluster = "none" })
	if _, err := o.Observe(t.Context(), Ask{}); err == nil {
		t.Error("Observe of a cluster that does not exist: got no error")
	}
	if _, err := New(w.options()).Observe(t.Context(), Ask{}); err == nil {
		t.Error("Observe before Start: got no error")
	}
}

// TestCluster: what it answers, and that the look after it uses its answers once.
func TestCluster(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	o := w.observer()
	w.calls()
	c, err := o.Cluster(t.Context())
	want := identity.Cluster{Name: "irsa-lab", Region: "eu-west-1", Account: acct, Partition: "aws", Issuer: issuer}
	if err != nil || c != want {
		t.Errorf("Cluster: got %+v, %v, want %+v", c, err, want)
	}
	for range 2 {
		if s := w.observe(o); s.Facts().Cluster.Caller == "" {
			t.Error("Observe: got no caller")
		}
	}
	if got := w.calls(); got["DescribeCluster"] != 2 || got["GetCallerIdentity"] != 2 {
		t.Errorf("Cluster, Observe, Observe: got calls %v, want two of each", got)
	}
	lift := w.AddFault(awsd.Fault{Operation: "GetCallerIdentity", Kind: awsd.Throttle})
	if _, err := o.Cluster(t.Context()); err != nil {
		t.Errorf("Cluster, STS throttled: got %v, want the look to tell", err)
	}
	wantGap(t, w.observe(o), live.SourceCallerIdentity, "", live.GapThrottled, "")
	lift()

	abroad := w.observer(func(o *Options) { o.STS = sts.NewFromConfig(w.config(other)) })
	_, err = abroad.Cluster(t.Context())
	_, observed := abroad.Observe(t.Context(), Ask{})
	for _, err := range []error{err, observed} {
		if err == nil || !strings.Contains(err.Error(), "the caller's account is "+other) || remedy.Of(err) != remedy.Hold {
			t.Errorf("a caller of another account: got %v, %s", err, remedy.Of(err))
		}
	}
	for region, says := range map[string]string{"eu-west-1": "eu-west-1", "": "this Region"} {
		_, err = w.observer(func(o *Options) { o.Cluster, o.Region = "none", region }).Cluster(t.Context())
		if want := "EKS cluster none is not in " + says + " of account " + acct + ": check --cluster and AWS_REGION"; err == nil || err.Error() != want || remedy.Of(err) != remedy.Hold {
			t.Errorf("a cluster that does not exist: got %v, want %s", err, want)
		}
	}
}
