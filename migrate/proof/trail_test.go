package proof_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/lanyard-io/lanyard/desired"
	"github.com/lanyard-io/lanyard/internal/identity"
	"github.com/lanyard-io/lanyard/internal/sandbox/awsd"
	"github.com/lanyard-io/lanyard/migrate/proof"
)

var never time.Time

// TestPodIdentityIsShown: nothing, then a use, then use of the other side, each after the
// time that CloudTrail takes.
func TestPodIdentityIsShown(t *testing.T) {
	t.Parallel()
	w := newWorld(t, awsd.Options{Consistency: awsd.Consistency{Events: 10 * time.Minute}})
	w.associate(subject)
	got := w.look()
	wantUse(t, got, never, never, "no AssumeRole by pods.eks.amazonaws.com", subject.ServiceAccount, begin.Format(time.RFC3339), "15 minutes late")
	if !got.Looked.Equal(begin.Add(-15 * time.Minute)) {
		t.Errorf("looked until %s, want what is shown by now: %s", got.Looked, begin.Add(-15*time.Minute))
	}
	used := w.pass(5 * time.Minute)
	if status := w.podIdentity(subject); status != 200 {
		t.Fatalf("the pod's request: %d", status)
	}
	w.pass(time.Minute)
	wantUse(t, w.look(), never, never, "no AssumeRole") // not delivered yet
	w.pass(10 * time.Minute)
	got = w.look()
	wantUse(t, got, used, never)
	if got.Agent != "" || !got.Looked.Equal(w.clock.Now().Add(-15*time.Minute)) {
		t.Errorf("agent %q, looked until %s", got.Agent, got.Looked)
	}
	old := w.pass(time.Minute)
	w.must(w.irsa(subject, role))
	w.pass(11 * time.Minute)
	got = w.look()
	wantUse(t, got, used, old)
	if !strings.HasPrefix(got.Agent, "aws-sdk-go-v2/") {
		t.Errorf("agent %q, want that of the exchange", got.Agent)
	}
	w.pass(9 * 24 * time.Hour)
	wantUse(t, w.look(), never, never, "no AssumeRole") // older than a sweep goes back
}

// TestIRSAIsShown: the way back, with sides swapped.
func TestIRSAIsShown(t *testing.T) {
	t.Parallel()
	w := newWorld(t, awsd.Options{})
	w.associate(subject)
	w.podIdentity(subject)
	old := w.clock.Now()
	wantUse(t, w.look(back), never, old, "no AssumeRoleWithWebIdentity")
	used := w.pass(5 * time.Minute)
	w.must(w.irsa(subject, role))
	wantUse(t, w.look(back), used, old)
}

// TestWhatProvesNothing: each is close to a use, and none.
func TestWhatProvesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, awsd.Options{})
	other := identity.Subject{Namespace: "demo", ServiceAccount: "other"}
	none := []func(*proof.Ask){}
	for _, tt := range []struct {
		name   string
		do     func(w *world)
		change []func(*proof.Ask)
	}{
		{"another ServiceAccount's", func(w *world) { w.associate(other); w.podIdentity(other) }, none},
		{"another role's", func(w *world) { w.associate(subject); w.podIdentity(subject) }, []func(*proof.Ask){func(a *proof.Ask) { a.Role.Name = "another" }}},
		{"one before the crossing", func(w *world) { w.associate(subject); w.podIdentity(subject) }, []func(*proof.Ask){func(a *proof.Ask) { a.Since = begin.Add(time.Second) }}},
		{"one without session tags", func(w *world) {
			w.associate(subject, func(a *awsd.Association) { a.DisableSessionTags = true })
			w.podIdentity(subject)
		}, none},
		{"a refused one", func(w *world) {
			w.must(w.PutRole(awsd.Role{ARN: role, Trust: `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"ec2.amazonaws.com"},"Action":"sts:AssumeRole"}]}`}))
			w.associate(subject)
			if status := w.podIdentity(subject); status != 400 {
				w.t.Fatal(status)
			}
		}, none},
		{"another cluster's", func(w *world) {
			w.Forge(account, region, "AssumeRole", podEvent("cluster/irsa-lab", "cluster/other"), begin)
		}, none},
		{"the tags of a user who calls himself so", func(w *world) {
			w.Forge(account, region, "AssumeRole", podEvent(`"AWSService"`, `"AssumedRole"`), begin)
		}, none},
		{"another service's", func(w *world) {
			w.Forge(account, region, "AssumeRole", podEvent("pods.eks.amazonaws.com", "lambda.amazonaws.com"), begin)
		}, none},
		{"another source's", func(w *world) {
			w.Forge(account, region, "AssumeRole", podEvent(`"sts.amazonaws.com"`, `"evil.amazonaws.com"`), begin)
		}, none},
		{"an event of another name", func(w *world) {
			w.Forge(account, region, "AssumeRole", podEvent(`"AssumeRole"`, `"AssumeRoot"`), begin)
		}, none},
		{"lanyard's own, under this ServiceAccount", func(w *world) {
			w.Forge(account, region, "AssumeRole", podEvent(`"s3-reader-0"`, `"lanyard-whoami-0123456789abcdef-x7k2p"`), begin)
		}, none},
		{"in another Region", func(w *world) { w.Forge(account, "us-east-1", "AssumeRole", podEvent("", ""), begin) }, none},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, awsd.Options{})
			tt.do(w)
			wantUse(t, w.look(tt.change...), never, never, "no AssumeRole")
		})
	}
	// And what they are close to is one.
	w.Forge(account, region, "AssumeRole", podEvent("", ""), begin)
	wantUse(t, w.look(), begin, never)
}

// podEvent is an event of Pod Identity, with one text in place of another.
func podEvent(old, instead string) string {
	text := `{"eventVersion":"1.08","userIdentity":{"type":"AWSService","invokedBy":"pods.eks.amazonaws.com"},"eventTime":"2026-11-23T09:00:00Z","eventSource":"sts.amazonaws.com",
		"eventName":"AssumeRole","awsRegion":"eu-west-1","sourceIPAddress":"pods.eks.amazonaws.com","userAgent":"pods.eks.amazonaws.com","requestParameters":{"roleArn":"` + role + `",
		"roleSessionName":"eks-irsa-lab-s3-reader-0-00000000-0000-4000-8000-000000000000","durationSeconds":21600,"tags":[{"key":"eks-cluster-arn","value":"` + lab.ARN() + `"},
		{"key":"eks-cluster-name","value":"irsa-lab"},{"key":"kubernetes-namespace","value":"demo"},{"key":"kubernetes-service-account","value":"s3-reader"},
		{"key":"kubernetes-pod-name","value":"s3-reader-0"},{"key":"kubernetes-pod-uid","value":"u"}]},"responseElements":null,"readOnly":true,"eventType":"AwsApiCall"}`
	if old == "" {
		return text
	}
	return strings.ReplaceAll(text, old, instead)
}

// webEvent is an event of IRSA, likewise.
func webEvent(old, instead string) string {
	provider := lab.Issuer.ProviderARN("aws", account)
	text := `{"eventVersion":"1.08","userIdentity":{"type":"WebIdentityUser","principalId":"` + provider + `:sts.amazonaws.com:system:serviceaccount:demo:s3-reader",
		"userName":"system:serviceaccount:demo:s3-reader","identityProvider":"` + provider + `"},"eventTime":"2026-11-23T09:00:00Z","eventSource":"sts.amazonaws.com",
		"eventName":"AssumeRoleWithWebIdentity","awsRegion":"eu-west-1","userAgent":"Boto3/1.28.62 md/Botocore#1.31.62","requestParameters":{"roleArn":"` + role + `","roleSessionName":"s"},"responseElements":null}`
	if old == "" {
		return text
	}
	return strings.ReplaceAll(text, old, instead)
}

// TestWhatHolds: of the side that a subject came from every attempt counts; on the side
// that it goes to the same are no proof.
func TestWhatHolds(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, event   string
		holds, proves bool
	}{
		{"a use", webEvent("", ""), true, true},
		{"one of another role", webEvent(role, role+"-before"), true, false},
		{"a refused one", webEvent(`"userAgent"`, `"errorCode":"AccessDenied","userAgent"`), true, false},
		{"by a provider in another account", webEvent("iam::123456789012:oidc-provider", "iam::210987654321:oidc-provider"), true, false},
		{"by the issuer's other host name", webEvent("oidc.eks.eu-west-1.amazonaws.com", "oidc-eks.eu-west-1.api.aws"), true, false},
		{"lanyard's own, under this ServiceAccount", webEvent("Boto3/1.28.62", "aws-sdk-go-v2/1.47.0 app/lanyard-whoami"), true, false},
		{"another ServiceAccount's", webEvent("demo:s3-reader", "demo:s3-reader2"), false, false},
		{"another cluster's", webEvent("EXAMPLED539D", "EXAMPLED539E"), false, false},
		{"a principal that names somebody else", webEvent("sts.amazonaws.com:system:serviceaccount:demo:s3-reader", "sts.amazonaws.com:system:serviceaccount:demo:other"), false, false},
		{"a principal of another provider", webEvent(`"principalId":"arn:aws:iam::123456789012`, `"principalId":"arn:aws:iam::210987654321`), false, false},
		{"a user of another kind", webEvent("WebIdentityUser", "SAMLUser"), false, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, awsd.Options{})
			w.Forge(account, region, "AssumeRoleWithWebIdentity", tt.event, begin)
			if got := w.look(); got.Old.IsZero() == tt.holds {
				t.Errorf("towards Pod Identity: %+v, want it to hold: %t", got, tt.holds)
			}
			if got := w.look(back); got.New.IsZero() == tt.proves {
				t.Errorf("back: %+v, want it to prove: %t", got, tt.proves)
			}
		})
	}
}

// TestOwnAgent: what lanyard is built with is not what the workload is, whichever came last.
func TestOwnAgent(t *testing.T) {
	t.Parallel()
	for _, at := range [][2]time.Time{{begin, begin.Add(time.Second)}, {begin.Add(time.Second), begin}} {
		w := newWorld(t, awsd.Options{})
		own := webEvent("Boto3/1.28.62 md/Botocore#1.31.62", "aws-sdk-go-v2/1.47.0 app/lanyard-whoami")
		for i, text := range []string{webEvent("", ""), own} {
			w.Forge(account, region, "AssumeRoleWithWebIdentity", strings.ReplaceAll(text, "09:00:00Z", at[i].Format("15:04:05Z")), at[i])
		}
		w.pass(time.Minute)
		if got := w.look(); got.Agent != "Boto3/1.28.62 md/Botocore#1.31.62" {
			t.Errorf("agent %q, want the workload's", got.Agent)
		}
	}
}

// TestOldSideInTheSecondOfTheCrossing: events have whole seconds, so one in the same
// second may be after the crossing: it holds, and does not prove.
func TestOldSideInTheSecondOfTheCrossing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, awsd.Options{})
	w.Forge(account, region, "AssumeRoleWithWebIdentity", webEvent("", ""), begin)
	half := func(a *proof.Ask) { a.Since = begin.Add(time.Second / 2) }
	wantUse(t, w.look(half), never, begin, "no AssumeRole")
	wantUse(t, w.look(half, back), never, never, "no AssumeRole")
}

// TestSessionTagsOff: EKS names nobody then, which is said, and the other side is seen.
func TestSessionTagsOff(t *testing.T) {
	t.Parallel()
	w := newWorld(t, awsd.Options{})
	off := func(a *proof.Ask) { a.SessionTags = false }
	w.associate(subject, func(a *awsd.Association) { a.DisableSessionTags = true })
	w.podIdentity(subject)
	w.must(w.irsa(subject, role))
	got := w.look(off)
	wantUse(t, got, never, begin, "cannot show a use", "query or declared", "sessionTags: false")
	if n := w.lookups(); n != 1 || got.Looked.IsZero() {
		t.Errorf("%d calls, looked until %s; want one, for the other side alone", n, got.Looked)
	}
	wantUse(t, w.look(off, back), begin, never, "sessionTags: false") // and a use of the other side would not be seen
}

// TestGlobalEndpoint: who may ask the global endpoint of STS is looked for in us-east-1
// too, and only in partition aws.
func TestGlobalEndpoint(t *testing.T) {
	t.Parallel()
	global := func(a *proof.Ask) { a.Global = true }
	w := newWorld(t, awsd.Options{})
	w.GlobalEndpoint(func(string, string) bool { return true })
	w.must(w.irsa(subject, role))
	wantUse(t, w.look(), never, never, "no AssumeRole")
	if n := w.lookups(); n != 2 {
		t.Errorf("%d calls in the cluster's Region, want 2", n)
	}
	w.pass(time.Hour)
	got := w.look(global)
	wantUse(t, got, never, begin, "no AssumeRole")
	wantUse(t, w.look(global, back), begin, never)
	if n := w.lookups(); n != 4 {
		t.Errorf("%d calls, want 4: two kinds of events here, and there what is new and what is old of one", n)
	}
	lift := w.AddFault(awsd.Fault{Service: "cloudtrail", Match: func(c awsd.Call) bool { return c.Region == "us-east-1" }, Kind: awsd.Refuse})
	defer lift()
	w.pass(time.Hour)
	fresh := proof.New(proof.Options{CloudTrail: w.cloudtrail, Cluster: lab, Now: w.clock.Now, Limits: w.limits})
	got = fresh.Look(t.Context(), []proof.Ask{ask(global)})[subject]
	if !got.Looked.IsZero() || !strings.Contains(got.Why, "us-east-1 refused") {
		t.Errorf("%+v; want nothing looked at as long as one Region is not", got)
	}
	china := lab
	china.Partition = "aws-cn"
	asked := map[string]int{}
	p := proof.New(proof.Options{Cluster: china, Now: w.clock.Now, Limits: w.limits, CloudTrail: func(region string) proof.LookupAPI {
		asked[region]++
		return w.cloudtrail(region)
	}})
	p.Look(t.Context(), []proof.Ask{ask(global)})
	if len(asked) != 1 || asked[region] == 0 {
		t.Errorf("in aws-cn asked in %v, want the cluster's Region", asked)
	}
}

// TestOneSweepServesAll: what is asked about, and how many ask, costs no calls.
func TestOneSweepServesAll(t *testing.T) {
	t.Parallel()
	w := newWorld(t, awsd.Options{})
	var asks []proof.Ask
	for i := range 40 {
		s := identity.Subject{Namespace: "demo", ServiceAccount: fmt.Sprintf("sa-%02d", i)}
		w.associate(s)
		w.podIdentity(s)
		asks = append(asks, ask(func(a *proof.Ask) { a.Subject = s }))
	}
	w.ForgetCalls()
	uses := w.prover.Look(t.Context(), asks)
	for _, a := range asks {
		if uses[a.Subject].New.IsZero() {
			t.Errorf("%s: %+v", a.Subject, uses[a.Subject])
		}
	}
	if n := w.lookups(); n != 2 {
		t.Errorf("%d calls for 40 subjects, want 2: one for each kind of event", n)
	}
	w.prover.Look(t.Context(), asks)
	w.pass(5 * time.Second)
	w.prover.Look(t.Context(), asks)
	if n := w.lookups(); n != 0 {
		t.Errorf("%d calls within a minute, want none", n)
	}
	w.pass(time.Minute)
	w.prover.Look(t.Context(), asks)
	if n := w.lookups(); n != 2 {
		t.Errorf("%d calls after a minute, want 2", n)
	}
	w.prover.Look(t.Context(), nil)
	w.pass(time.Hour)
	if n := len(w.prover.Look(t.Context(), nil)); n != 0 || w.lookups() != 0 {
		t.Error("calls though nobody asks")
	}
}

// TestPages: a long history is read backwards over looks, what is new first, and nothing
// is taken for looked at before it was read.
func TestPages(t *testing.T) {
	t.Parallel()
	w := newWorld(t, awsd.Options{}, func(o *proof.Options) { o.Limits.Pages = 4 })
	for i := range 1000 { // 20 pages over 1,000 minutes, the subject's own in the oldest
		event := podEvent("s3-reader", "another")
		if i == 0 {
			event = podEvent("", "")
		}
		w.Forge(account, region, "AssumeRole", strings.ReplaceAll(event, "2026-11-23T09:00:00Z", w.clock.Now().Format(time.RFC3339)), w.clock.Now())
		w.pass(time.Minute)
	}
	looks, looked := 0, time.Time{}
	for ; looks < 20; looks++ {
		got := w.look()
		if looked = got.Looked; !got.New.IsZero() {
			break
		}
		if !looked.IsZero() || !strings.Contains(got.Why, "still being read") {
			t.Fatalf("look %d: %+v; want it said that not all is read", looks+1, got)
		}
		w.pass(5 * time.Second)
	}
	if n := w.lookups(); looks != 5 || n < 21 || n > 26 {
		t.Errorf("shown after %d looks and %d calls; want 6 looks, and hardly more than 22 calls", looks+1, n)
	}
	w.look() // its last page may be to come
	if got := w.look(); got.Looked.IsZero() {
		t.Errorf("all was read: %+v", got)
	}
	w.pass(10 * time.Minute)
	w.ForgetCalls()
	w.look()
	if n := w.lookups(); n != 2 {
		t.Errorf("%d calls for what is new, want 2", n)
	}
}

// TestBusyAccount: where a sweep takes many calls, the next comes later.
func TestBusyAccount(t *testing.T) {
	t.Parallel()
	w := newWorld(t, awsd.Options{})
	for range 700 {
		w.Forge(account, region, "AssumeRole", podEvent("s3-reader", "another"), begin)
	}
	w.look()
	if n := w.lookups(); n < 15 {
		t.Fatalf("%d calls for 700 events and the other kind", n)
	}
	w.pass(61 * time.Second)
	w.look()
	if n := w.lookups(); n != 1 {
		t.Errorf("%d calls after a minute, want 1 for the kind that is quiet", n)
	}
	w.pass(20 * time.Second)
	w.look()
	if n := w.lookups(); n < 14 {
		t.Errorf("%d calls after 81 seconds, want those for the busy kind", n)
	}
}

// TestLateEvents: what CloudTrail shows late, and out of order, is found, and each event
// is read once.
func TestLateEvents(t *testing.T) {
	t.Parallel()
	w := newWorld(t, awsd.Options{Consistency: awsd.Consistency{Events: 25 * time.Minute}})
	w.associate(subject)
	var used time.Time
	for range 30 {
		used = w.pass(time.Minute)
		w.podIdentity(subject)
		w.look()
	}
	w.Forge(account, region, "AssumeRole", "not an event", w.clock.Now())
	for range 30 {
		w.pass(time.Minute)
		w.look()
	}
	got := w.look()
	wantUse(t, got, used, never, "1 events AssumeRole of eu-west-1 could not be read")
	w.pass(24 * time.Hour)
	got = w.look(func(a *proof.Ask) { a.Since = w.clock.Now() })
	wantUse(t, got, never, never, "1 events AssumeRole of eu-west-1 could not be read")
}

// TestManyInOneSecond: more events in a second than a look reads do not stop it.
func TestManyInOneSecond(t *testing.T) {
	t.Parallel()
	w := newWorld(t, awsd.Options{}, func(o *proof.Options) { o.Limits.Pages = 2 })
	w.Forge(account, region, "AssumeRole", podEvent("", ""), begin)
	for range 500 {
		w.Forge(account, region, "AssumeRole", podEvent("s3-reader", "another"), begin)
	}
	for range 10 {
		w.pass(time.Second)
		if got := w.look(); !got.New.IsZero() && !got.Looked.IsZero() {
			return
		}
	}
	t.Errorf("not read after ten looks: %+v", w.look())
}

// TestTokenGrowsOld: a page token of the last look may be refused in the next, which goes
// on where that had come.
func TestTokenGrowsOld(t *testing.T) {
	t.Parallel()
	w := newWorld(t, awsd.Options{}, func(o *proof.Options) { o.Limits.Pages = 1 })
	for i := range 200 {
		at := w.clock.Now()
		event := podEvent("s3-reader", "another")
		if i == 0 {
			event = podEvent("", "")
		}
		w.Forge(account, region, "AssumeRole", event, at)
		w.pass(10 * time.Second)
	}
	lift := w.AddFault(awsd.Fault{Service: "cloudtrail", Kind: awsd.TruncatedPage})
	for range 6 { // a page, and its token refused, three times: 147 events
		w.look()
		w.pass(time.Second)
	}
	lift()
	looks := 0
	for ; looks < 20; looks++ {
		w.pass(time.Second)
		if got := w.look(); !got.New.IsZero() && !got.Looked.IsZero() {
			break
		}
	}
	if looks > 2 {
		t.Errorf("the rest was read in %d looks, want 3: what is left of what is new, and what is old", looks+1)
	}
}

// TestRefusedIsNotUnused: law 2. Whatever keeps CloudTrail from answering is said, and
// leaves nothing looked at; what was shown before stays shown.
func TestRefusedIsNotUnused(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		kind awsd.Kind
		why  string
	}{
		{awsd.Refuse, "refused LookupEvents (AccessDeniedException): grant what lanyard policy --feature cloudtrail prints"},
		{awsd.Throttle, "throttles LookupEvents (ThrottlingException)"},
		{awsd.Fail, "InternalFailure"},
		{awsd.Cut, "CloudTrail of eu-west-1: "},
		{awsd.Hang, "did not answer in time"},
	} {
		t.Run(string(tt.kind), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, awsd.Options{}, func(o *proof.Options) { o.Limits.Look = time.Second })
			w.associate(subject)
			lift := w.AddFault(awsd.Fault{Service: "cloudtrail", Kind: tt.kind})
			got := w.look()
			wantUse(t, got, never, never, tt.why)
			if !got.Looked.IsZero() {
				t.Errorf("looked until %s, want not at all", got.Looked)
			}
			if strings.Contains(got.Why, w.url) {
				t.Errorf("an address is told: %q", got.Why)
			}
			n := w.lookups()
			if w.look(); w.lookups() != 0 && tt.kind != awsd.Hang { // which leaves the other kind of event its first turn
				t.Errorf("asked again at once after %d calls", n)
			}
			lift()
			w.podIdentity(subject)
			used := w.clock.Now()
			at := w.pass(20 * time.Minute)
			wantUse(t, w.look(), used, never)
			lift = w.AddFault(awsd.Fault{Service: "cloudtrail", Kind: tt.kind})
			defer lift()
			w.pass(time.Hour)
			if got = w.look(); !got.New.Equal(used) || !got.Looked.Equal(at.Add(-15*time.Minute)) {
				t.Errorf("%+v; want what was seen at %s, looked until then", got, at)
			}
		})
	}
}

// TestThrottledByQuota: AWS's own rate, two calls a second, used up by others.
func TestThrottledByQuota(t *testing.T) {
	t.Parallel()
	w := newWorld(t, awsd.Options{Rates: map[string]awsd.Rate{"cloudtrail": {Burst: 1, PerSecond: 2}}})
	wantUse(t, w.look(), never, never, "throttles LookupEvents") // the second kind of event in the same moment
	w.pass(2 * time.Minute)
	if got := w.look(func(a *proof.Ask) { a.SessionTags = false }); got.Looked.IsZero() || strings.Contains(got.Why, "throttle") { // one kind alone
		t.Errorf("%+v; want it read", got)
	}
}

// TestRateLimit: a look does not ask faster than its rate, and ends in time; the next goes
// on.
func TestRateLimit(t *testing.T) {
	t.Parallel()
	w := newWorld(t, awsd.Options{}, func(o *proof.Options) {
		o.Limits.Rate, o.Limits.Look = 4, 700*time.Millisecond
	})
	for range 600 {
		w.Forge(account, region, "AssumeRole", podEvent("s3-reader", "another"), begin)
	}
	start := time.Now()
	got := w.look()
	n, took := w.lookups(), time.Since(start)
	if most := 3 + int(4*took.Seconds()); n > most { // fewer on a slow machine
		t.Errorf("%d calls in %s, want 2 at once and 4 a second more: %d at most", n, took, most)
	}
	if !got.Looked.IsZero() || strings.Contains(got.Why, "throttle") || !strings.Contains(got.Why, "still being read") {
		t.Errorf("%+v; want it still being read", got)
	}
	for next := 0; next == 0; next = w.lookups() { // one of the next goes on, or the test's time ends
		w.look()
	}
}

// TestOff: without the feature nobody is asked, and it is said how to turn it on.
func TestOff(t *testing.T) {
	t.Parallel()
	w := newWorld(t, awsd.Options{}, func(o *proof.Options) { o.CloudTrail = nil })
	got := w.look()
	wantUse(t, got, never, never, "features.cloudtrail", "lanyard policy --feature cloudtrail", "query or declared")
	if !got.Looked.IsZero() || w.lookups() != 0 {
		t.Errorf("%+v", got)
	}
}

// TestDeclared: nobody has to be asked; where CloudTrail is on, the other side's use is
// told all the same.
func TestDeclared(t *testing.T) {
	t.Parallel()
	declared := func(a *proof.Ask) { a.Proof = desired.ProofDeclared }
	w := newWorld(t, awsd.Options{})
	w.must(w.irsa(subject, role))
	wantUse(t, w.look(declared), never, begin, "author vouches")
	off := newWorld(t, awsd.Options{}, func(o *proof.Options) { o.CloudTrail = nil })
	wantUse(t, off.look(declared), never, never, "author vouches")
}

// TestRoleOfAnotherAccount: its events are in that account's history.
func TestRoleOfAnotherAccount(t *testing.T) {
	t.Parallel()
	w := newWorld(t, awsd.Options{})
	wantUse(t, w.look(back, func(a *proof.Ask) { a.Role.Account = "210987654321" }), never, never, "account 210987654321, whose CloudTrail is not read", "query or declared")
}

// TestBeforeACrossing: a question without one is about the last hours, for the user agent.
func TestBeforeACrossing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, awsd.Options{})
	none := func(a *proof.Ask) { a.Since = time.Time{} }
	w.Forge(account, region, "AssumeRoleWithWebIdentity", webEvent("", ""), begin)
	w.pass(5 * time.Hour)
	got := w.look(none)
	wantUse(t, got, never, begin, "no AssumeRole")
	if got.Agent != "Boto3/1.28.62 md/Botocore#1.31.62" {
		t.Errorf("agent %q", got.Agent)
	}
}

// TestHostileEvents: nothing in an event can do more than not be read.
func TestHostileEvents(t *testing.T) {
	t.Parallel()
	w := newWorld(t, awsd.Options{})
	long, err := json.Marshal(strings.Repeat("x", 300<<10))
	if err != nil {
		t.Fatal(err)
	}
	hostile := []string{
		"", "null", "[]", "{}", `"x"`, "{", strings.Repeat("[", 100_000), podEvent(`"tags":[`, `"tags":{"a":[`), podEvent(`"2026-11-23T09:00:00Z"`, `"yesterday"`),
		podEvent(role, "not an ARN"), podEvent(`"roleSessionName"`, `"more":`+string(long)+`,"roleSessionName"`),
	}
	for _, text := range hostile {
		w.Forge(account, region, "AssumeRole", text, begin)
	}
	w.Forge(account, region, "AssumeRoleWithWebIdentity", webEvent("Boto3/1.28.62", `\u001b[31mBoto3/1.28.62\n\u202e`+strings.Repeat("y", 2000)), begin)
	got := w.look()
	wantUse(t, got, never, begin, "11 events AssumeRole of eu-west-1 could not be read")
	if len(got.Agent) > 512 || strings.ContainsAny(got.Agent, "\x1b\n\u202e") || !strings.Contains(got.Agent, "Boto3/1.28.62") {
		t.Errorf("agent %q", got.Agent)
	}
}

// TestCancelled: who no longer waits is not kept.
func TestCancelled(t *testing.T) {
	t.Parallel()
	w := newWorld(t, awsd.Options{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if got := w.prover.Look(ctx, []proof.Ask{ask()})[subject]; !got.Looked.IsZero() || !got.New.IsZero() {
		t.Errorf("%+v", got)
	}
}
