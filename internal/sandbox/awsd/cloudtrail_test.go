package awsd_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/cloudtrail"
	"github.com/aws/aws-sdk-go-v2/service/cloudtrail/types"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/google/go-cmp/cmp"

	"github.com/lanyard-io/lanyard/internal/sandbox/awsd"
)

func (w *world) cloudtrail(account, region string) *cloudtrail.Client {
	cfg := w.config(account)
	cfg.Region = region
	// Where the client itself lost the connection it tries again: net/http may close one
	// while the SDK reads a long answer, because that has closed the request's body.
	cfg.Retryer = func() aws.Retryer {
		return retry.NewStandard(func(o *retry.StandardOptions) {
			o.Retryables = []retry.IsErrorRetryable{retry.RetryableConnectionError{}}
		})
	}
	return cloudtrail.NewFromConfig(cfg)
}

// lookup looks events up by their name, newest first, all pages.
func (w *world) lookup(account, region, name string) []types.Event {
	w.t.Helper()
	var all []types.Event
	pages := cloudtrail.NewLookupEventsPaginator(w.cloudtrail(account, region), byName(name))
	for pages.HasMorePages() {
		out, err := pages.NextPage(w.ctx())
		w.must(err)
		all = append(all, out.Events...)
	}
	return all
}

func byName(name string, more ...func(*cloudtrail.LookupEventsInput)) *cloudtrail.LookupEventsInput {
	in := &cloudtrail.LookupEventsInput{LookupAttributes: []types.LookupAttribute{{AttributeKey: types.LookupAttributeKeyEventName, AttributeValue: &name}}}
	for _, m := range more {
		m(in)
	}
	return in
}

// exchange exchanges a token of a ServiceAccount for credentials.
func (w *world) exchange(sa, role string) error {
	_, err := sts.NewFromConfig(aws.Config{Region: region, BaseEndpoint: &w.url, Retryer: func() aws.Retryer { return aws.NopRetryer{} }}).
		AssumeRoleWithWebIdentity(w.ctx(), &sts.AssumeRoleWithWebIdentityInput{RoleArn: &role, RoleSessionName: aws.String("session"), WebIdentityToken: aws.String(awsd.UnsignedToken(claims(w, sa)))})
	return err
}

// TestTrail: who assumes a role leaves an event, of the shape that AWS's have.
func TestTrail(t *testing.T) {
	t.Parallel()
	w := newWorld(t, awsd.Options{})
	irsa := "arn:aws:iam::123456789012:role/irsa"
	w.must(w.PutRole(awsd.Role{ARN: irsa, Trust: irsaTrust("system:serviceaccount:demo:s3-reader")}))
	for _, a := range []awsd.Association{
		{Cluster: lab, Namespace: "demo", ServiceAccount: "s3-reader", RoleARN: reader},
		{Cluster: lab, Namespace: "demo", ServiceAccount: "untagged", RoleARN: reader, DisableSessionTags: true},
		{Cluster: lab, Namespace: "demo", ServiceAccount: "refused", RoleARN: irsa},
	} {
		_, err := w.PutAssociation(a)
		w.must(err)
	}
	w.must(w.exchange("s3-reader", irsa))
	wantError(t, w.exchange("other", irsa), "AccessDenied", 403, "")
	for _, sa := range []string{"s3-reader", "untagged", "refused", "none"} {
		w.podCredentials(acct, "irsa-lab", awsd.UnsignedToken(podClaims(w, sa)))
	}
	w.must(w.PutRole(awsd.Role{ARN: far, Trust: accountTrust(acct, "")}))
	_, err := w.sts(acct).AssumeRole(w.ctx(), assume(far))
	w.must(err)

	got := map[string]map[string]any{}
	var order []string
	for _, of := range []struct{ account, name string }{{acct, "AssumeRoleWithWebIdentity"}, {acct, "AssumeRole"}, {other, "AssumeRole"}} {
		for _, e := range w.lookup(of.account, region, of.name) {
			var record map[string]any
			w.must(json.Unmarshal([]byte(*e.CloudTrailEvent), &record))
			if record["eventID"] != *e.EventId || record["eventName"] != *e.EventName || record["eventSource"] != "sts.amazonaws.com" || *e.EventSource != "sts.amazonaws.com" ||
				record["eventTime"] != e.EventTime.Format(time.RFC3339) || record["awsRegion"] != region || record["recipientAccountId"] != of.account {
				t.Errorf("an event and its record differ: %+v, %s", e, *e.CloudTrailEvent)
			}
			identity, parameters := record["userIdentity"].(map[string]any), record["requestParameters"].(map[string]any)
			_, tagged := parameters["tags"]
			who := fmt.Sprintf("%v %v %v %t %v", identity["userName"], identity["invokedBy"], parameters["roleArn"], tagged, record["errorCode"])
			got[who] = record
			order = append(order, who)
		}
	}
	const (
		web = "system:serviceaccount:demo:s3-reader <nil> arn:aws:iam::123456789012:role/irsa false <nil>"
		pod = "<nil> pods.eks.amazonaws.com " + reader + " true <nil>"
	)
	want := []string{
		web, "system:serviceaccount:demo:other <nil> " + irsa + " false AccessDenied",
		pod, "<nil> pods.eks.amazonaws.com " + reader + " false <nil>", "<nil> pods.eks.amazonaws.com " + irsa + " true AccessDenied",
		"sandbox <nil> " + far + " false <nil>",
	}
	slices.Sort(want)
	slices.Sort(order)
	if d := cmp.Diff(want, order); d != "" {
		t.Fatalf("events (-want +got)\n%s", d)
	}
	if d := cmp.Diff(map[string]any{"type": "WebIdentityUser", "userName": "system:serviceaccount:demo:s3-reader", "identityProvider": provider,
		"principalId": provider + ":sts.amazonaws.com:system:serviceaccount:demo:s3-reader"}, got[web]["userIdentity"]); d != "" {
		t.Errorf("identity of IRSA (-want +got)\n%s", d)
	}
	if agent, _ := got[web]["userAgent"].(string); !strings.HasPrefix(agent, "aws-sdk-go-v2/") {
		t.Errorf("user agent %q, want the SDK's", agent)
	}
	var tags []string
	for _, tag := range got[pod]["requestParameters"].(map[string]any)["tags"].([]any) {
		kv := tag.(map[string]any)
		tags = append(tags, fmt.Sprint(kv["key"], "=", kv["value"]))
	}
	if d := cmp.Diff([]string{"eks-cluster-arn=" + lab, "eks-cluster-name=irsa-lab", "kubernetes-namespace=demo", "kubernetes-pod-name=p", "kubernetes-pod-uid=u", "kubernetes-service-account=s3-reader"}, tags); d != "" {
		t.Errorf("tags of Pod Identity (-want +got)\n%s", d)
	}
	if agent := got[pod]["userAgent"]; agent != "pods.eks.amazonaws.com" {
		t.Errorf("user agent %v, want the service's", agent)
	}
	for _, e := range w.lookup(acct, "us-east-1", "AssumeRoleWithWebIdentity") {
		t.Errorf("in another Region: %s", *e.CloudTrailEvent)
	}
	if v := w.MayAssumeWebIdentity(irsa, awsd.Claims{Issuer: issuer, Namespace: "demo", ServiceAccount: "s3-reader", Audience: []string{"sts.amazonaws.com"}}); !v.Allowed {
		t.Error(v)
	}
	if n := len(w.lookup(acct, region, "AssumeRoleWithWebIdentity")); n != 2 {
		t.Errorf("asking the oracle left an event: %d, want 2", n)
	}
}

// TestTrailGlobalEndpoint: who asks the global endpoint of STS is found in us-east-1.
func TestTrailGlobalEndpoint(t *testing.T) {
	t.Parallel()
	w := newWorld(t, awsd.Options{})
	w.must(w.PutRole(awsd.Role{ARN: "arn:aws:iam::123456789012:role/irsa", Trust: irsaTrust("system:serviceaccount:demo:legacy")}))
	w.GlobalEndpoint(func(namespace, serviceAccount string) bool { return namespace == "demo" && serviceAccount == "legacy" })
	w.must(w.exchange("legacy", "arn:aws:iam::123456789012:role/irsa"))
	if here, there := len(w.lookup(acct, region, "AssumeRoleWithWebIdentity")), len(w.lookup(acct, "us-east-1", "AssumeRoleWithWebIdentity")); here != 0 || there != 1 {
		t.Errorf("%d events in the cluster's Region and %d in us-east-1, want 0 and 1", here, there)
	}
}

// TestTrailIsLate: an event is shown after half of the delay to all of it, not in order.
func TestTrailIsLate(t *testing.T) {
	t.Parallel()
	w := newWorld(t, awsd.Options{Consistency: awsd.Consistency{Events: 10 * time.Minute}})
	for i := range 40 {
		w.Forge(acct, region, "AssumeRole", fmt.Sprint(i), w.clock.Now())
	}
	var counts []int
	for range 3 {
		w.clock.Advance(5*time.Minute - time.Second)
		counts = append(counts, len(w.lookup(acct, region, "AssumeRole")))
		w.clock.Advance(time.Second)
	}
	if counts[0] != 0 || counts[1] < 20 || counts[2] != 40 {
		t.Errorf("shown after almost 5, 10 and 15 minutes: %v, want none, most and all", counts)
	}
	w.clock.Advance(time.Hour)
	first := w.clock.Now()
	for i := range 40 {
		w.Forge(acct, region, "AssumeRoleWithWebIdentity", fmt.Sprint(i), first)
		w.clock.Advance(time.Second)
	}
	seen := map[string]bool{}
	inOrder := true
	for range 60 {
		w.clock.Advance(10 * time.Second)
		newest := 0
		for _, e := range w.lookup(acct, region, "AssumeRoleWithWebIdentity") {
			var n int
			fmt.Sscan(*e.CloudTrailEvent, &n)
			if newest = max(newest, n); !seen[*e.EventId] && n < newest {
				inOrder = false
			}
			seen[*e.EventId] = true
		}
	}
	if len(seen) != 40 || inOrder {
		t.Errorf("%d events, in order %t; want 40, and not in order", len(seen), inOrder)
	}
}

// TestLookupEvents: pages, bounds and errors as the service has them.
func TestLookupEvents(t *testing.T) {
	t.Parallel()
	w := newWorld(t, awsd.Options{})
	start := w.clock.Now()
	for i := range 120 {
		w.Forge(acct, region, "AssumeRole", fmt.Sprint(i), w.clock.Now())
		w.clock.Advance(time.Second)
	}
	w.Forge(acct, region, "GetCallerIdentity", "x", w.clock.Now())
	w.Forge(other, region, "AssumeRole", "x", w.clock.Now())
	c := w.cloudtrail(acct, region)
	first, err := c.LookupEvents(w.ctx(), byName("AssumeRole"))
	w.must(err)
	if len(first.Events) != 50 || *first.Events[0].CloudTrailEvent != "119" || first.NextToken == nil {
		t.Fatalf("the first page has %d events and begins with %s; want 50 and 119", len(first.Events), *first.Events[0].CloudTrailEvent)
	}
	w.Forge(acct, region, "AssumeRole", "new", w.clock.Now()) // it is before the page that comes
	second, err := c.LookupEvents(w.ctx(), byName("AssumeRole", func(in *cloudtrail.LookupEventsInput) { in.NextToken = first.NextToken }))
	w.must(err)
	if got := *second.Events[0].CloudTrailEvent; got != "69" {
		t.Errorf("the second page begins with %s, want 69", got)
	}
	within, err := c.LookupEvents(w.ctx(), byName("AssumeRole", func(in *cloudtrail.LookupEventsInput) {
		in.StartTime, in.EndTime = aws.Time(start.Add(3*time.Second)), aws.Time(start.Add(5*time.Second))
	}))
	w.must(err)
	if len(within.Events) != 3 || within.NextToken != nil {
		t.Errorf("from the 3rd second to the 5th: %d events, want 3: both bounds count", len(within.Events))
	}
	for name, tt := range map[string]struct {
		change func(*cloudtrail.LookupEventsInput)
		code   string
	}{
		"51 results": {func(in *cloudtrail.LookupEventsInput) { in.MaxResults = aws.Int32(51) }, "InvalidMaxResultsException"},
		"no results": {func(in *cloudtrail.LookupEventsInput) { in.MaxResults = aws.Int32(0) }, "InvalidMaxResultsException"},
		"backwards": {func(in *cloudtrail.LookupEventsInput) {
			in.StartTime, in.EndTime = aws.Time(start), aws.Time(start.Add(-time.Second))
		}, "InvalidTimeRangeException"},
		"two attributes": {func(in *cloudtrail.LookupEventsInput) {
			in.LookupAttributes = append(in.LookupAttributes, in.LookupAttributes[0])
		}, "InvalidLookupAttributesException"},
		"an unknown attribute": {func(in *cloudtrail.LookupEventsInput) { in.LookupAttributes[0].AttributeKey = "Colour" }, "InvalidLookupAttributesException"},
		"a token of others": {func(in *cloudtrail.LookupEventsInput) {
			in.NextToken, in.LookupAttributes[0].AttributeValue = first.NextToken, aws.String("GetCallerIdentity")
		}, "InvalidNextTokenException"},
		"a token with another time": {func(in *cloudtrail.LookupEventsInput) { in.NextToken, in.StartTime = first.NextToken, aws.Time(start) }, "InvalidNextTokenException"},
		"no token":                  {func(in *cloudtrail.LookupEventsInput) { in.NextToken = aws.String("x") }, "InvalidNextTokenException"},
		"another category":          {func(in *cloudtrail.LookupEventsInput) { in.EventCategory = "data" }, "InvalidEventCategoryException"},
	} {
		_, err := c.LookupEvents(w.ctx(), byName("AssumeRole", tt.change))
		t.Log(name)
		wantError(t, err, tt.code, 400, "")
	}
	w.clock.Advance(90 * 24 * time.Hour)
	if n := len(w.lookup(acct, region, "AssumeRole")); n >= 120 {
		t.Errorf("after 90 days %d events are there", n)
	}
}

// TestLookupEventsRefusals: who may not, who is nobody, and who asks too often. Codes are
// in the body of the answer, in the form of AWS JSON 1.1.
func TestLookupEventsRefusals(t *testing.T) {
	t.Parallel()
	w := newWorld(t, awsd.Options{Rates: map[string]awsd.Rate{"cloudtrail": {Burst: 2, PerSecond: 2}}})
	call := func(account, region string) string {
		_, err := w.cloudtrail(account, region).LookupEvents(w.ctx(), byName("AssumeRole"))
		return codeOf(err)
	}
	got := []string{call(acct, region), call(acct, region), call(acct, region), call(acct, "us-east-1"), call(other, region)}
	w.clock.Advance(time.Second)
	got = append(got, call(acct, region), call(acct, region), call(acct, region))
	if want := []string{"", "", "ThrottlingException", "", "", "", "", "ThrottlingException"}; !slices.Equal(got, want) {
		t.Errorf("two in a second: got %q, want %q", got, want)
	}
	if got := call("111111111111", region); got != "UnrecognizedClientException" {
		t.Errorf("an unknown account: %s", got)
	}
	w.clock.Advance(time.Minute)
	for kind, want := range map[awsd.Kind]string{awsd.Refuse: "AccessDeniedException", awsd.Throttle: "ThrottlingException", awsd.Fail: "InternalFailure"} {
		lift := w.AddFault(awsd.Fault{Service: "cloudtrail", Kind: kind})
		if got := call(acct, region); got != want {
			t.Errorf("%s: got %s, want %s", kind, got, want)
		}
		lift()
	}
	if last := w.last(); last.Service != "cloudtrail" || last.Operation != "LookupEvents" || last.Mutating || !strings.Contains(last.Params, "AssumeRole") {
		t.Errorf("the record has %+v", last)
	}
}
