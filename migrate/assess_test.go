package migrate_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lanyard-io/lanyard/internal/identity"
	"github.com/lanyard-io/lanyard/migrate"
	"github.com/lanyard-io/lanyard/sync/live"
)

// TestEligible: the world that every other test starts from has nothing in the way.
func TestEligible(t *testing.T) {
	t.Parallel()
	w := eligible()
	got := w.assess(t)
	want := migrate.Assessment{Subject: subject, Verdict: migrate.Eligible, Reasons: []migrate.Reason{}, Warnings: []migrate.Reason{}, Holds: []migrate.Reason{}, Gaps: []live.Gap{}, Trust: got.Trust}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if len(got.Trust) != 4 || got.Trust[0].Width != identity.WidthPinned || !slices.IsSortedFunc(got.Trust, func(a, b migrate.Room) int { return b.After - a.After }) || got.Trust[0].Limit != 2048 || !got.Trust[0].Fits {
		t.Errorf("rooms %+v; want four widths, narrowest and largest first", got.Trust)
	}
}

func (s scenario) want() migrate.Verdict {
	switch {
	case s.verdict != migrate.Unclear:
		return s.verdict
	case s.code == "":
		return migrate.Eligible
	case s.code.Keeps():
		return migrate.KeepIRSA
	}
	return migrate.Blocked
}

// TestReasons changes one thing of the eligible world at a time.
func TestReasons(t *testing.T) {
	t.Parallel()
	for _, s := range scenarios {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			w := eligible()
			s.change(w)
			a := w.assess(t)
			if a.Verdict != s.want() {
				t.Errorf("verdict %s, want %s: %v", a.Verdict, s.want(), a.Reasons)
			}
			all := slices.Concat(a.Reasons, a.Warnings, a.Holds)
			if s.code == "" {
				if len(all) > 0 || len(a.Gaps) > 0 {
					t.Errorf("got %v and gaps %v, want nothing", all, a.Gaps)
				}
				return
			}
			if !slices.ContainsFunc(all, func(r migrate.Reason) bool {
				return r.Code == s.code && strings.Contains(r.Fix, s.fix) && slices.ContainsFunc(r.Facts, func(f migrate.Fact) bool { return strings.Contains(f.String(), s.fact) })
			}) {
				t.Errorf("no %s with a fact %q and a fix %q among\n%s", s.code, s.fact, s.fix, text(t, all))
			}
			for _, r := range all {
				if r.Message == "" || r.Fix == "" || len(r.Facts) == 0 || !slices.Contains(codes(), r.Code) {
					t.Errorf("%s: without message, fix or facts, or not of the list: %+v", r.Code, r)
				}
			}
		})
	}
}

func codes() []migrate.Code {
	return slices.Concat(migrate.Keeps(), migrate.Blocks(), migrate.Warnings(), migrate.Holds())
}

// TestEveryCodeIsShown holds the scenarios complete: each code has one that shows it.
// The holds that are not here need more than a snapshot: those are for the phases.
func TestEveryCodeIsShown(t *testing.T) {
	t.Parallel()
	shown := map[migrate.Code]bool{}
	for _, s := range scenarios {
		shown[s.code] = true
	}
	for _, c := range slices.Concat(migrate.Keeps(), migrate.Blocks(), migrate.Warnings(), []migrate.Code{migrate.Held, migrate.Paused, migrate.OutsideWindow}) {
		if !shown[c] {
			t.Errorf("no scenario shows %s", c)
		}
	}
	sorted := slices.Sorted(slices.Values(codes()))
	if len(slices.Compact(sorted)) != len(codes()) {
		t.Errorf("a code stands twice in %v", codes())
	}
}

// TestPrecedence: what keeps comes before what blocks, and that before what was not
// read; and all of them are told.
func TestPrecedence(t *testing.T) {
	t.Parallel()
	keep := func(w *world) { w.pod().Windows = true }
	block := func(w *world) { w.f.Webhook = live.Webhook{}; w.container().Profile = true }
	gap := func(w *world) { w.gap(live.SourceListAddons, "") }
	for _, tt := range []struct {
		changes []func(*world)
		want    string
	}{
		{nil, "eligible [] 0"},
		{[]func(*world){gap}, "unclear [] 1"},
		{[]func(*world){block}, "blocked [env-override webhook-absent] 0"},
		{[]func(*world){block, gap}, "blocked [env-override webhook-absent] 1"},
		{[]func(*world){keep, gap}, "keep-irsa [windows] 1"},
		{[]func(*world){gap, block, keep}, "keep-irsa [windows env-override webhook-absent] 1"},
	} {
		w := eligible()
		for _, c := range tt.changes {
			c(w)
		}
		a := w.assess(t)
		var got []migrate.Code
		for _, r := range a.Reasons {
			got = append(got, r.Code)
		}
		if s := fmt.Sprint(a.Verdict, " ", got, " ", len(a.Gaps)); s != tt.want {
			t.Errorf("got %s, want %s", s, tt.want)
		}
	}
}

// blinds are the required reads, each taken away: its facts, and a gap in their place.
var blinds = map[string]func(*world){
	"ServiceAccounts": func(w *world) { w.f.ServiceAccounts = nil; w.gap(live.SourceServiceAccounts, "") },
	"pods":            func(w *world) { w.f.Pods = nil; w.gap(live.SourcePods, "") },
	"pods, in part":   func(w *world) { w.gap(live.SourcePods, "demo/api") },
	"pods, which show the agents": func(w *world) {
		w.f.Pods = nil
		for i := range w.f.Nodes {
			w.f.Nodes[i].AgentReady = false
		}
		w.gap(live.SourcePods, "")
	},
	"the agent's pods": func(w *world) {
		for i := range w.f.Nodes {
			w.f.Nodes[i].AgentReady = false
		}
		w.gap(live.SourcePods, "kube-system/eks-pod-identity-agent")
	},
	"workloads, which show the agent": func(w *world) {
		w.f.Workloads, w.f.Addons, w.node().AgentReady = nil, nil, false
		w.gap(live.SourceWorkloads, "")
		w.gap(live.SourcePods, "")
	},
	"pods, which show the agent of a hybrid node": func(w *world) {
		addNode(w, live.Node{Name: "mi-unseen", ComputeType: "hybrid", OS: "linux"})
		w.f.Pods, w.node().AgentReady = nil, false
		w.gap(live.SourcePods, "")
	},
	"workloads":    func(w *world) { w.f.Workloads = nil; w.gap(live.SourceWorkloads, "") },
	"nodes":        func(w *world) { w.f.Nodes = nil; w.gap(live.SourceNodes, "") },
	"webhook":      func(w *world) { w.f.Webhook = live.Webhook{}; w.gap(live.SourceWebhook, "") },
	"cluster":      func(w *world) { w.gap(live.SourceCluster, "") },
	"issuer":       func(w *world) { w.f.Cluster.APIServerIssuer = ""; w.gap(live.SourceIssuer, "") },
	"associations": func(w *world) { w.f.Associations = nil; w.gap(live.SourceListAssociations, "") },
	"its association": func(w *world) {
		i := slices.IndexFunc(w.f.Associations, func(a live.Association) bool { return a.Subject() == subject })
		if i < 0 {
			i = len(w.f.Associations)
			w.f.Associations = append(w.f.Associations, live.Association{})
		}
		w.f.Associations[i] = live.Association{Namespace: "demo", ServiceAccount: "api", ID: "a-9"}
		w.gap(live.SourceDescribeAssociation, "a-9")
	},
	"Fargate profiles": func(w *world) { w.f.FargateProfiles = nil; w.gap(live.SourceListFargateProfiles, "") },
	"one Fargate profile": func(w *world) {
		w.f.FargateProfiles = []live.FargateProfile{{Name: "batch"}}
		w.gap(live.SourceDescribeFargate, "batch")
	},
	"one Fargate profile, unasked": func(w *world) { w.f.FargateProfiles = []live.FargateProfile{{Name: "batch"}} },
	"one add-on, unasked":          func(w *world) { w.f.Addons = []live.Addon{{Name: "eks-pod-identity-agent"}} },
	"add-ons":                      func(w *world) { w.f.Addons = nil; w.gap(live.SourceListAddons, "") },
	"one add-on": func(w *world) {
		w.f.Addons = []live.Addon{{Name: "eks-pod-identity-agent"}}
		w.gap(live.SourceDescribeAddon, "eks-pod-identity-agent")
	},
	"role": func(w *world) {
		*w.role() = live.Role{ARN: w.role().ARN}
		w.gap(live.SourceRole, w.role().ARN.String())
	},
	"role, unasked": func(w *world) { w.f.Roles = w.f.Roles[1:] },
	"policies": func(w *world) {
		w.role().PoliciesRead, w.role().Policies = false, nil
		w.gap(live.SourceAuthorizationDetails, account)
	},
	"the whole account": func(w *world) {
		w.f.Roles, w.f.Accounts, w.f.Providers = nil, nil, nil
		w.gap(live.SourceAssumeRole, account)
	},
	"OIDC provider": func(w *world) {
		w.f.Providers = nil
		w.gap(live.SourceProvider, "arn:aws:iam::123456789012:oidc-provider/"+host)
	},
	"quota": func(w *world) { w.f.Accounts[0].TrustSizeQuota = 0; w.gap(live.SourceAccountSummary, account) },
}

// TestRequiredReads: any one of them missing makes the eligible world unclear, says
// which, and never brings a reason of its own.
func TestRequiredReads(t *testing.T) {
	t.Parallel()
	for name, blind := range blinds {
		w := eligible()
		blind(w)
		a := w.assess(t)
		if a.Verdict != migrate.Unclear || len(a.Gaps) == 0 || len(a.Reasons) > 0 {
			t.Errorf("without %s: %s, gaps %v, reasons %v; want unclear, a gap and no reason", name, a.Verdict, a.Gaps, a.Reasons)
		}
	}
	for name, harmless := range map[string]func(*world){
		"another's pods":            func(w *world) { w.gap(live.SourcePods, "demo/other") },
		"another's association":     func(w *world) { w.gap(live.SourceDescribeAssociation, "a-7") },
		"another role":              func(w *world) { w.gap(live.SourceRole, "arn:aws:iam::123456789012:role/x") },
		"another account":           func(w *world) { w.gap(live.SourceAssumeRole, other) },
		"who is calling":            func(w *world) { w.gap(live.SourceCallerIdentity, "") },
		"a broad read, not granted": func(w *world) { w.gap(live.SourceAuthorizationDetails, account) },
	} {
		w := eligible()
		harmless(w)
		if a := w.assess(t); a.Verdict != migrate.Eligible {
			t.Errorf("without %s: %s, gaps %v; want eligible", name, a.Verdict, a.Gaps)
		}
	}
}

// generated returns a world with some changes at once, or none.
func generated(r *rand.Rand) (*world, []string) {
	w := eligible()
	var names []string
	for range r.IntN(4) {
		s := scenarios[r.IntN(len(scenarios))]
		if s.code == migrate.AssociationsFull { // 5,000 of them, each time
			continue
		}
		func() {
			defer func() { _ = recover() }() // an earlier change took away what this one changes
			s.change(w)
			names = append(names, s.name)
		}()
	}
	return w, names
}

// rounds is how many worlds a property is tried on.
const rounds = 400

// TestOrderDoesNotMatter: shuffled facts give the same assessment, to the byte.
func TestOrderDoesNotMatter(t *testing.T) {
	t.Parallel()
	for seed := range uint64(rounds) {
		r := rand.New(rand.NewPCG(seed, 1))
		w, names := generated(r)
		if _, err := live.New(w.f); err != nil { // two changes that cannot both be
			continue
		}
		want := text(t, w.assess(t))
		shuffle(r, reflect.ValueOf(&w.f).Elem())
		if diff := cmp.Diff(want, text(t, w.assess(t))); diff != "" {
			t.Fatalf("seed %d, %q: in another order (-want +got)\n%s", seed, names, diff)
		}
	}
}

// shuffle puts every list of the facts in another order, but those whose order means
// something: the values of one condition, and the terms of one affinity.
func shuffle(r *rand.Rand, v reflect.Value) {
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			shuffle(r, v.Field(i))
		}
	case reflect.Slice:
		if v.Type().Elem().Kind() != reflect.Struct {
			return
		}
		r.Shuffle(v.Len(), reflect.Swapper(v.Interface()))
		for i := range v.Len() {
			shuffle(r, v.Index(i))
		}
	}
}

// TestLessIsNeverEligible: to take a required read away turns eligible into unclear, and
// nothing into eligible.
func TestLessIsNeverEligible(t *testing.T) {
	t.Parallel()
	for seed := range uint64(rounds) {
		r := rand.New(rand.NewPCG(seed, 2))
		w, names := generated(r)
		if _, err := live.New(w.f); err != nil {
			continue
		}
		before := w.assess(t).Verdict
		keys := make([]string, 0, len(blinds))
		for name := range blinds {
			keys = append(keys, name)
		}
		slices.Sort(keys)
		name := keys[r.IntN(len(keys))]
		blinded := false
		func() {
			defer func() { _ = recover() }() // an earlier change took away what this one does
			blinds[name](w)
			blinded = true
		}()
		if !blinded {
			continue
		}
		after := w.assess(t)
		if after.Verdict == migrate.Eligible || before == migrate.Eligible && after.Verdict != migrate.Unclear {
			t.Fatalf("seed %d, %q: %s, and without %s %s: %v", seed, names, before, name, after.Verdict, after.Reasons)
		}
	}
}

// TestFargateIsNeverEligible: one pod on Fargate more, and no world is eligible.
func TestFargateIsNeverEligible(t *testing.T) {
	t.Parallel()
	for seed := range uint64(rounds) {
		w, names := generated(rand.New(rand.NewPCG(seed, 3)))
		w.f.Pods = append(w.f.Pods, live.Pod{Namespace: "demo", Name: "more", ServiceAccount: "api", Fargate: true, Phase: "Running", CreatedAt: now})
		if _, err := live.New(w.f); err != nil {
			continue
		}
		if a := w.assess(t); a.Verdict != migrate.KeepIRSA || !a.Has(migrate.Fargate) {
			t.Fatalf("seed %d, %q: %s with a pod on Fargate", seed, names, a.Verdict)
		}
	}
}

// TestFactsAreBounded: 500 pods on Fargate are 20 facts and a number.
func TestFactsAreBounded(t *testing.T) {
	t.Parallel()
	w := eligible()
	for i := range 500 {
		w.f.Pods = append(w.f.Pods, live.Pod{Namespace: "demo", Name: fmt.Sprintf("p-%03d", i), ServiceAccount: "api", Fargate: true, Phase: "Running", Owner: live.WorkloadRef{Kind: "Job", Name: "j"}})
	}
	facts := w.assess(t).Reasons[0].Facts
	if len(facts) != 21 || facts[20].String() != "more and 480 more" {
		t.Errorf("%d facts, the last %q; want 20 and a number", len(facts), facts[len(facts)-1])
	}
}

// TestManyUsersOfARole: of thousands who name one role a few are facts, and a number.
func TestManyUsersOfARole(t *testing.T) {
	t.Parallel()
	for _, many := range []int{18, 19, 3000} {
		w := eligible()
		for i := range many {
			w.f.ServiceAccounts = append(w.f.ServiceAccounts, live.ServiceAccount{Namespace: "many", Name: fmt.Sprintf("sa-%04d", i), Annotations: map[string]string{"eks.amazonaws.com/role-arn": role}})
		}
		w.role().TrustPolicy = irsaTrust("system:serviceaccount:*")
		a := w.assess(t)
		last := "service-account many/sa-0017: uses it by its annotation"
		if many > 18 {
			last = fmt.Sprintf("more and %d more", many-18)
		}
		i := slices.IndexFunc(a.Reasons, func(r migrate.Reason) bool { return r.Code == migrate.SharedRole })
		if i < 0 || len(a.Warnings) == 0 {
			t.Fatalf("%d share the role: %+v", many, a)
		}
		facts := a.Warnings[0].Facts
		if got := facts[len(facts)-1].String(); got != last {
			t.Errorf("%d share the role: the last fact is %q, want %q", many, got, last)
		}
		if facts = a.Reasons[i].Facts; !slices.ContainsFunc(facts, func(f migrate.Fact) bool { return f.Kind == migrate.OfStatement }) || len(facts) > 20 {
			t.Errorf("%d share the role: of %d facts none is the statement", many, len(facts))
		}
	}
}

// TestFeatureSelf: what lanyard stands on is left alone unless feature self is on.
func TestFeatureSelf(t *testing.T) {
	t.Parallel()
	for _, allowed := range []bool{false, true} {
		w := eligible()
		w.m.Subject = identity.Subject{Namespace: "kube-system", ServiceAccount: "eks-pod-identity-agent"}
		w.o.AllowSelf = allowed
		if a := w.assess(t); a.Has(migrate.Self) == allowed {
			t.Errorf("the agent's own, feature self %t: %v", allowed, a.Reasons)
		}
		w.m.Subject, w.o.Self = subject, []identity.Subject{subject}
		if a := w.assess(t); a.Has(migrate.Self) == allowed {
			t.Errorf("lanyard's own, feature self %t: %v", allowed, a.Reasons)
		}
	}
}

// TestJSON: lists are never null, and the words read back.
func TestJSON(t *testing.T) {
	t.Parallel()
	w := eligible()
	w.m.Role.Account = other
	if got := text(t, w.assess(t)); strings.Contains(got, "null") || !strings.Contains(got, `"verdict": "keep-irsa"`) {
		t.Errorf("a list is null, or the verdict no word:\n%s", got)
	}
	for _, v := range []migrate.Verdict{migrate.Unclear, migrate.Eligible, migrate.Blocked, migrate.KeepIRSA} {
		var back migrate.Verdict
		if b, _ := v.MarshalText(); back.UnmarshalText(b) != nil || back != v {
			t.Errorf("%s reads back as %s", v, back)
		}
	}
	var v migrate.Verdict
	if v.UnmarshalText([]byte("maybe")) == nil {
		t.Error("maybe is a verdict")
	}
}

func text(t testing.TB, v any) string {
	t.Helper()
	b, err := json.MarshalIndent(v, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
