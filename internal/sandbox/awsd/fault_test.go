package awsd_test

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/eks"
	ekstypes "github.com/aws/aws-sdk-go-v2/service/eks/types"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	iamtypes "github.com/aws/aws-sdk-go-v2/service/iam/types"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"
	"github.com/google/go-cmp/cmp"

	"github.com/lanyard-io/lanyard/internal/sandbox/awsd"
)

// Every kind of fault on every kind of write: what the caller is told, and what is true.
func TestFaultsOnWrites(t *testing.T) {
	t.Parallel()
	newTrust := strings.Replace(podTrust, `"Effect"`, `"Sid":"New","Effect"`, 1)
	type write struct {
		do   func(context.Context, *world) error
		done func(*world) bool
	}
	byID := func(w *world) *string {
		a, _ := w.Association(lab, "demo", "old")
		return &a.ID
	}
	writes := map[string]write{
		"UpdateAssumeRolePolicy": {
			func(ctx context.Context, w *world) error {
				_, err := w.iam(acct).UpdateAssumeRolePolicy(ctx, &iam.UpdateAssumeRolePolicyInput{RoleName: aws.String("eks-irsa-lab-demo-s3-reader-role"), PolicyDocument: &newTrust})
				return err
			},
			func(w *world) bool { r, _ := w.Role(reader); return r.Trust == newTrust },
		},
		"CreatePodIdentityAssociation": {
			func(ctx context.Context, w *world) error {
				_, err := w.eks(acct).CreatePodIdentityAssociation(ctx, create("demo", "new", reader))
				return err
			},
			func(w *world) bool { _, ok := w.Association(lab, "demo", "new"); return ok },
		},
		"UpdatePodIdentityAssociation": {
			func(ctx context.Context, w *world) error {
				_, err := w.eks(acct).UpdatePodIdentityAssociation(ctx, &eks.UpdatePodIdentityAssociationInput{ClusterName: cluster, AssociationId: byID(w), DisableSessionTags: aws.Bool(true)})
				return err
			},
			func(w *world) bool { a, _ := w.Association(lab, "demo", "old"); return a.DisableSessionTags },
		},
		"DeletePodIdentityAssociation": {
			func(ctx context.Context, w *world) error {
				_, err := w.eks(acct).DeletePodIdentityAssociation(ctx, &eks.DeletePodIdentityAssociationInput{ClusterName: cluster, AssociationId: byID(w)})
				return err
			},
			func(w *world) bool { _, ok := w.Association(lab, "demo", "old"); return !ok },
		},
		"TagResource": {
			func(ctx context.Context, w *world) error {
				a, _ := w.Association(lab, "demo", "old")
				_, err := w.eks(acct).TagResource(ctx, &eks.TagResourceInput{ResourceArn: aws.String(a.ARN()), Tags: map[string]string{"k": "v"}})
				return err
			},
			func(w *world) bool { a, _ := w.Association(lab, "demo", "old"); return a.Tags["k"] == "v" },
		},
		"UntagResource": {
			func(ctx context.Context, w *world) error {
				a, _ := w.Association(lab, "demo", "old")
				_, err := w.eks(acct).UntagResource(ctx, &eks.UntagResourceInput{ResourceArn: aws.String(a.ARN()), TagKeys: []string{"old"}})
				return err
			},
			func(w *world) bool { a, _ := w.Association(lab, "demo", "old"); return a.Tags["old"] == "" },
		},
	}
	kinds := []struct {
		kind       awsd.Kind
		iam, eks   string // The code; "-" is no answer; "" is success.
		takesPlace bool
	}{
		{awsd.Refuse, "AccessDenied", "AccessDeniedException", false},
		{awsd.Throttle, "Throttling", "ThrottlingException", false},
		{awsd.Fail, "ServiceFailure", "ServerException", false},
		{awsd.DoneButFailed, "ServiceFailure", "ServerException", true},
		{awsd.Cut, "-", "-", false},
		{awsd.DoneButCut, "-", "-", true},
		{awsd.Hang, "-", "-", false},
		{awsd.DoneButHang, "-", "-", true},
		{awsd.Lost, "", "", false},
	}
	for _, op := range slices.Sorted(maps.Keys(writes)) {
		for _, k := range kinds {
			t.Run(op+"/"+string(k.kind), func(t *testing.T) {
				t.Parallel()
				w := newWorld(t, awsd.Options{})
				_, err := w.PutAssociation(awsd.Association{Cluster: lab, Namespace: "demo", ServiceAccount: "old", RoleARN: reader, Tags: map[string]string{"old": "1"}})
				w.must(err)
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				giveUp := func(awsd.Call) bool { // The client gives up once the server has the call.
					if k.kind == awsd.Hang || k.kind == awsd.DoneButHang {
						cancel()
					}
					return true
				}
				w.AddFault(awsd.Fault{Operation: op, Kind: k.kind, Times: 1, Match: giveUp})
				want := k.eks
				if op == "UpdateAssumeRolePolicy" {
					want = k.iam
				}
				err = writes[op].do(ctx, w)
				if got := codeOf(err); got != want {
					t.Errorf("answer: got %q (%v), want %q", got, err, want)
				}
				if got := writes[op].done(w); got != k.takesPlace {
					t.Errorf("write took place: got %v, want %v", got, k.takesPlace)
				}
				if c := w.last(); c.Fault != k.kind || c.Operation != op || !c.Mutating || (c.Status == 0) != (want == "-") {
					t.Errorf("record: got %+v", c)
				}
				if k.takesPlace {
					return
				}
				w.must(writes[op].do(t.Context(), w)) // Once only, and nothing is left behind.
				if !writes[op].done(w) {
					t.Error("the same write without a fault: got no effect")
				}
			})
		}
	}
}

// codeOf returns "" for success and "-" where no answer came.
func codeOf(err error) string {
	var api smithy.APIError
	switch {
	case err == nil:
		return ""
	case errors.As(err, &api):
		return api.ErrorCode()
	}
	return "-"
}

// A read cut off is not repeated by the HTTP client behind everyone's back, also on a
// connection that was used before.
func TestCutRead(t *testing.T) {
	t.Parallel()
	w := newWorld(t, awsd.Options{})
	c := w.eks(acct)
	for _, want := range []string{"", "-", ""} {
		lift := func() {}
		if want != "" {
			lift = w.AddFault(awsd.Fault{Kind: awsd.Cut})
		}
		_, err := c.DescribeCluster(w.ctx(), &eks.DescribeClusterInput{Name: cluster})
		if got := codeOf(err); got != want {
			t.Errorf("answer: got %q (%v), want %q", got, err, want)
		}
		lift()
	}
	if _, n := w.Calls(0); n != 3 {
		t.Errorf("calls: got %d, want 3", n)
	}
}

func TestModelledFaults(t *testing.T) {
	t.Parallel()
	w := newWorld(t, awsd.Options{})
	get := func() error {
		_, err := w.iam(acct).GetRole(w.ctx(), &iam.GetRoleInput{RoleName: aws.String("eks-irsa-lab-demo-s3-reader-role")})
		return err
	}
	describe := func() error {
		_, err := w.eks(acct).DescribeCluster(w.ctx(), &eks.DescribeClusterInput{Name: cluster})
		return err
	}
	who := func() error {
		_, err := w.sts(acct).GetCallerIdentity(w.ctx(), nil)
		return err
	}
	list := func() error {
		_, err := w.eks(acct).ListAddons(w.ctx(), &eks.ListAddonsInput{ClusterName: cluster})
		return err
	}
	tests := []struct {
		name   string
		fault  awsd.Fault
		do     func() error
		code   string
		status int
	}{
		{"IAM refuses", awsd.Fault{Kind: awsd.Refuse}, get, "AccessDenied", 403},
		{"IAM throttles", awsd.Fault{Kind: awsd.Throttle}, get, "Throttling", 400},
		{"IAM fails", awsd.Fault{Kind: awsd.Fail}, get, "ServiceFailure", 500},
		{"STS refuses", awsd.Fault{Kind: awsd.Refuse}, who, "AccessDenied", 403},
		{"STS throttles", awsd.Fault{Kind: awsd.Throttle}, who, "Throttling", 400},
		{"STS fails", awsd.Fault{Kind: awsd.Fail}, who, "InternalFailure", 500},
		{"EKS refuses", awsd.Fault{Kind: awsd.Refuse}, list, "AccessDeniedException", 403},
		{"EKS throttles", awsd.Fault{Kind: awsd.Throttle}, describe, "ThrottlingException", 429},
		{"EKS fails", awsd.Fault{Kind: awsd.Fail}, describe, "ServerException", 500},
		{"ConcurrentModification", awsd.Fault{Kind: awsd.Answer, Code: "ConcurrentModification", Status: 409}, get, "ConcurrentModification", 409},
		{"ServiceUnavailable", awsd.Fault{Kind: awsd.Answer, Code: "ServiceUnavailableException", Status: 503}, describe, "ServiceUnavailableException", 503},
		{"status is 400 if left out", awsd.Fault{Kind: awsd.Answer, Code: "PackedPolicyTooLarge"}, who, "PackedPolicyTooLarge", 400},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			defer w.AddFault(tt.fault)()
			wantError(t, tt.do(), tt.code, tt.status, "")
		})
	}
	if err := errors.Join(get(), describe(), who(), list()); err != nil {
		t.Errorf("after the faults were lifted: %v", err)
	}
	defer w.AddFault(awsd.Fault{Kind: awsd.Fail})()
	as[*iamtypes.ServiceFailureException](t, get())
	as[*ekstypes.ServerException](t, describe())
}

func TestFaultMatching(t *testing.T) {
	t.Parallel()
	w := newWorld(t, awsd.Options{})
	_, err := w.PutAssociation(awsd.Association{Cluster: lab, Namespace: "demo", ServiceAccount: "x", RoleARN: reader})
	w.must(err)
	describe := func() string {
		_, err := w.eks(acct).DescribeCluster(w.ctx(), &eks.DescribeClusterInput{Name: cluster})
		return codeOf(err)
	}
	const bad = "ServerException"
	tests := []struct {
		name  string
		fault awsd.Fault
		want  []string
	}{
		{"always", awsd.Fault{}, []string{bad, bad, bad}},
		{"twice", awsd.Fault{Times: 2}, []string{bad, bad, ""}},
		{"skip one, then one", awsd.Fault{Skip: 1, Times: 1}, []string{"", bad, ""}},
		{"service", awsd.Fault{Service: "iam"}, []string{"", "", ""}},
		{"operation", awsd.Fault{Operation: "ListAddons"}, []string{"", "", ""}},
		{"account", awsd.Fault{Account: other}, []string{"", "", ""}},
		{"resource", awsd.Fault{Resource: "irsa-l"}, []string{bad, bad, bad}},
		{"another resource", awsd.Fault{Resource: "prod"}, []string{"", "", ""}},
		{"match", awsd.Fault{Match: func(c awsd.Call) bool { return c.Mutating }}, []string{"", "", ""}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.fault.Kind = awsd.Fail
			defer w.AddFault(tt.fault)()
			if got := []string{describe(), describe(), describe()}; !slices.Equal(got, tt.want) {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestStaleReads(t *testing.T) {
	t.Parallel()
	w := newWorld(t, awsd.Options{})
	made, err := w.eks(acct).CreatePodIdentityAssociation(w.ctx(), create("demo", "x", reader))
	w.must(err)
	w.must(w.putTrust(irsaTrust("a")))
	read := func() (trust string, n int, describe string) {
		role, err := w.iam(acct).GetRole(w.ctx(), &iam.GetRoleInput{RoleName: aws.String("eks-irsa-lab-demo-s3-reader-role")})
		w.must(err)
		list, err := w.eks(acct).ListPodIdentityAssociations(w.ctx(), &eks.ListPodIdentityAssociationsInput{ClusterName: cluster})
		w.must(err)
		_, err = w.eks(acct).DescribePodIdentityAssociation(w.ctx(), &eks.DescribePodIdentityAssociationInput{ClusterName: cluster, AssociationId: made.Association.AssociationId})
		which := "new"
		if strings.Contains(*role.Role.AssumeRolePolicyDocument, "pods.eks") {
			which = "old"
		}
		return which, len(list.Associations), codeOf(err)
	}
	lift := w.AddFault(awsd.Fault{Kind: awsd.Stale})
	if trust, n, code := read(); trust != "old" || n != 0 || code != "ResourceNotFoundException" {
		t.Errorf("stale: got %s trust, %d associations, %q; want old, 0, ResourceNotFoundException", trust, n, code)
	}
	lift()
	if trust, n, code := read(); trust != "new" || n != 1 || code != "" {
		t.Errorf("fresh: got %s trust, %d associations, %q; want new, 1, success", trust, n, code)
	}
}

func TestTruncatedPage(t *testing.T) {
	t.Parallel()
	w := newWorld(t, awsd.Options{})
	for _, name := range []string{"a", "b", "c"} {
		w.must(w.PutAddon(awsd.Addon{Cluster: lab, Name: name}))
		w.must(w.PutRole(awsd.Role{ARN: "arn:aws:iam::123456789012:role/" + name, Trust: podTrust}))
	}
	w.AddFault(awsd.Fault{Kind: awsd.TruncatedPage})
	addons, err := w.eks(acct).ListAddons(w.ctx(), &eks.ListAddonsInput{ClusterName: cluster})
	w.must(err)
	if len(addons.Addons) != 2 || addons.NextToken == nil {
		t.Fatalf("add-ons: got %v, %v; want two of three and a token", addons.Addons, addons.NextToken)
	}
	_, err = w.eks(acct).ListAddons(w.ctx(), &eks.ListAddonsInput{ClusterName: cluster, NextToken: addons.NextToken})
	wantError(t, err, "InvalidParameterException", 400, "token")
	roles, err := w.iam(acct).ListRoles(w.ctx(), nil)
	w.must(err)
	if len(roles.Roles) != 3 || !roles.IsTruncated {
		t.Fatalf("roles: got %d, truncated %v; want three of four and true", len(roles.Roles), roles.IsTruncated)
	}
	_, err = w.iam(acct).ListRoles(w.ctx(), &iam.ListRolesInput{Marker: roles.Marker})
	wantError(t, err, "ValidationError", 400, "Marker")
}

func TestRates(t *testing.T) {
	t.Parallel()
	w := newWorld(t, awsd.Options{Rates: map[string]awsd.Rate{"sts": {Burst: 2, PerSecond: 0.5}}})
	call := func(account string) string {
		_, err := w.sts(account).GetCallerIdentity(w.ctx(), nil)
		return codeOf(err)
	}
	got := []string{call(acct), call(acct), call(acct), call(other)}
	w.clock.Advance(2 * time.Second)
	got = append(got, call(acct), call(acct))
	if want := []string{"", "", "Throttling", "", "", "Throttling"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestCallRecord(t *testing.T) {
	t.Parallel()
	w := newWorld(t, awsd.Options{})
	_, err := w.iam(acct).GetRole(w.ctx(), &iam.GetRoleInput{RoleName: aws.String("none")})
	wantError(t, err, "NoSuchEntity", 404, "")
	_, cursor := w.Calls(0)
	w.clock.Advance(time.Second)
	_, err = w.eks(acct).CreatePodIdentityAssociation(w.ctx(), create("demo", "x", reader))
	w.must(err)
	_, err = w.sts(acct).GetCallerIdentity(w.ctx(), &sts.GetCallerIdentityInput{})
	w.must(err)
	got, end := w.Calls(cursor)
	want := []awsd.Call{
		{Seq: 2, Time: w.clock.Now(), Service: "eks", Operation: "CreatePodIdentityAssociation", Account: acct, Region: region, Principal: "arn:aws:iam::123456789012:user/sandbox",
			Resource: "x", Params: "clusterName=irsa-lab namespace=demo roleArn=" + reader + " serviceAccount=x", Mutating: true, Status: 200},
		{Seq: 3, Time: w.clock.Now(), Service: "sts", Operation: "GetCallerIdentity", Account: acct, Region: region, Principal: "arn:aws:iam::123456789012:user/sandbox", Status: 200},
	}
	if d := cmp.Diff(want, got); d != "" || end != 3 {
		t.Errorf("calls after %d, cursor %d, want 3 (-want +got):\n%s", cursor, end, d)
	}
	all, _ := w.Calls(0)
	if all[0].ErrorCode != "NoSuchEntity" || all[0].Status != 404 || all[0].Mutating || all[0].Resource != "none" {
		t.Errorf("a refused read: got %+v", all[0])
	}
	if calls, n := w.Calls(99); len(calls) != 0 || n != 3 {
		t.Errorf("cursor past the end: got %d calls, cursor %d", len(calls), n)
	}
}

func TestMutating(t *testing.T) {
	t.Parallel()
	for op, want := range map[[2]string]bool{
		{"iam", "UpdateAssumeRolePolicy"}: true, {"iam", "GetRole"}: false, {"iam", "DeleteRole"}: true,
		{"eks", "TagResource"}: true, {"eks", "ListAddons"}: false, {"sts", "AssumeRole"}: false, {"eks-auth", "AssumeRoleForPodIdentity"}: false,
	} {
		if got := awsd.Mutating(op[0], op[1]); got != want {
			t.Errorf("Mutating(%q, %q): got %v, want %v", op[0], op[1], got, want)
		}
	}
}
