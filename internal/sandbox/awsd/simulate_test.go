package awsd_test

import (
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"

	"github.com/lanyard-io/lanyard/internal/sandbox/awsd"
)

const (
	simulated = "arn:aws:iam::123456789012:role/tools/simulated"
	edge      = "arn:aws:iam::123456789012:policy/edge"
	grants    = `{"Version":"2012-10-17","Statement":[
		{"Effect":"Allow","Action":["iam:GetRole","iam:ListRoles"],"Resource":"arn:aws:iam::123456789012:role/eks-*"},
		{"Effect":"Allow","Action":"iam:PassRole","Resource":"*","Condition":{"StringEquals":{"iam:PassedToService":"pods.eks.amazonaws.com"}}},
		{"Effect":"Allow","Action":"eks:*","Resource":"*"},
		{"Effect":"Deny","Action":"eks:DeleteCluster","Resource":"*"}]}`
)

// TestSimulatePrincipalPolicy: what a role's own policies would answer, resource by
// resource, within its boundary.
func TestSimulatePrincipalPolicy(t *testing.T) {
	t.Parallel()
	w := newWorld(t, awsd.Options{})
	w.must(w.PutPolicy(awsd.Policy{ARN: edge, Document: `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","NotAction":"eks:ListClusters","Resource":"*"}]}`}))
	w.must(w.PutRole(awsd.Role{ARN: simulated, Trust: `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::123456789012:root"},"Action":"sts:AssumeRole"}]}`,
		Inline: map[string]string{"own": grants}, Boundary: edge}))
	key := func(name, value string) []types.ContextEntry {
		return []types.ContextEntry{{ContextKeyName: &name, ContextKeyType: types.ContextKeyTypeEnumString, ContextKeyValues: []string{value}}}
	}
	for _, test := range []struct {
		name      string
		action    string
		resources []string
		context   []types.ContextEntry
		want      types.PolicyEvaluationDecisionType
		each      []types.PolicyEvaluationDecisionType
	}{
		{"granted", "iam:GetRole", []string{"arn:aws:iam::123456789012:role/eks-a"}, nil, "allowed", []types.PolicyEvaluationDecisionType{"allowed"}},
		{"on the pattern itself", "iam:GetRole", []string{"arn:aws:iam::123456789012:role/eks-*"}, nil, "allowed", []types.PolicyEvaluationDecisionType{"allowed"}},
		{"on one of two", "iam:GetRole", []string{"arn:aws:iam::123456789012:role/eks-a", "arn:aws:iam::123456789012:role/other"}, nil, "implicitDeny", []types.PolicyEvaluationDecisionType{"allowed", "implicitDeny"}},
		{"on everything", "iam:GetRole", nil, nil, "implicitDeny", []types.PolicyEvaluationDecisionType{"implicitDeny"}},
		{"with the context", "iam:PassRole", nil, key("iam:PassedToService", "pods.eks.amazonaws.com"), "allowed", []types.PolicyEvaluationDecisionType{"allowed"}},
		{"with another", "iam:PassRole", nil, key("iam:PassedToService", "ec2.amazonaws.com"), "implicitDeny", []types.PolicyEvaluationDecisionType{"implicitDeny"}},
		{"without", "iam:PassRole", nil, nil, "implicitDeny", []types.PolicyEvaluationDecisionType{"implicitDeny"}},
		{"denied", "eks:DeleteCluster", nil, nil, "explicitDeny", []types.PolicyEvaluationDecisionType{"explicitDeny"}},
		{"beyond the boundary", "eks:ListClusters", nil, nil, "implicitDeny", []types.PolicyEvaluationDecisionType{"implicitDeny"}},
		{"within it", "eks:DescribeCluster", nil, nil, "allowed", []types.PolicyEvaluationDecisionType{"allowed"}},
	} {
		out, err := w.iam(acct).SimulatePrincipalPolicy(w.ctx(), &iam.SimulatePrincipalPolicyInput{
			PolicySourceArn: aws.String(simulated), ActionNames: []string{test.action}, ResourceArns: test.resources, ContextEntries: test.context})
		w.must(err)
		if len(out.EvaluationResults) != 1 || len(out.EvaluationResults[0].ResourceSpecificResults) != len(test.each) {
			t.Fatalf("%s: %+v", test.name, out.EvaluationResults)
		}
		got := out.EvaluationResults[0]
		if got.EvalDecision != test.want || *got.EvalActionName != test.action {
			t.Errorf("%s: %s is %s, want %s", test.name, *got.EvalActionName, got.EvalDecision, test.want)
		}
		for i, r := range got.ResourceSpecificResults {
			if r.EvalResourceDecision != test.each[i] {
				t.Errorf("%s: %s is %s, want %s", test.name, *r.EvalResourceName, r.EvalResourceDecision, test.each[i])
			}
			if within := r.PermissionsBoundaryDecisionDetail.AllowedByPermissionsBoundary; within == (test.name == "beyond the boundary") {
				t.Errorf("%s: within the boundary: %v", test.name, within)
			}
		}
	}
	if out, err := w.iam(acct).SimulatePrincipalPolicy(w.ctx(), &iam.SimulatePrincipalPolicyInput{
		PolicySourceArn: aws.String("arn:aws:iam::123456789012:user/sandbox"), ActionNames: []string{"iam:DeleteRole"}}); err != nil || out.EvaluationResults[0].EvalDecision != "allowed" {
		t.Errorf("the administrator may do anything: %+v, %v", out, err)
	}
}

// TestSimulatePages: results come in pages, as of every list of IAM.
func TestSimulatePages(t *testing.T) {
	t.Parallel()
	w := newWorld(t, awsd.Options{})
	pages := iam.NewSimulatePrincipalPolicyPaginator(w.iam(acct), &iam.SimulatePrincipalPolicyInput{PolicySourceArn: aws.String(reader),
		ActionNames: []string{"iam:A", "iam:B", "iam:C"}, MaxItems: aws.Int32(2)})
	n, seen := 0, ""
	for ; pages.HasMorePages(); n++ {
		out, err := pages.NextPage(w.ctx())
		w.must(err)
		for _, r := range out.EvaluationResults {
			seen += *r.EvalActionName + " "
		}
	}
	if want := "iam:A iam:B iam:C "; n < 2 || seen != want {
		t.Errorf("%d pages with %s, want two at least with %s", n, seen, want)
	}
}

// TestSimulateRefuses: what IAM refuses.
func TestSimulateRefuses(t *testing.T) {
	t.Parallel()
	w := newWorld(t, awsd.Options{})
	for _, test := range []struct {
		name, source, action, resource, code string
		status                               int
	}{
		{"a session", "arn:aws:sts::123456789012:assumed-role/reader/me", "iam:GetRole", "*", "InvalidInput", 400},
		{"the root user", "arn:aws:iam::123456789012:root", "iam:GetRole", "*", "InvalidInput", 400},
		{"a role that is not there", "arn:aws:iam::123456789012:role/none", "iam:GetRole", "*", "NoSuchEntity", 404},
		{"one of another account", "arn:aws:iam::210987654321:role/reader", "iam:GetRole", "*", "NoSuchEntity", 404},
		{"an action without a service", reader, "GetRole", "*", "InvalidInput", 400},
		{"a resource that is no ARN", reader, "iam:GetRole", "reader", "InvalidInput", 400},
	} {
		_, err := w.iam(acct).SimulatePrincipalPolicy(w.ctx(), &iam.SimulatePrincipalPolicyInput{
			PolicySourceArn: &test.source, ActionNames: []string{test.action}, ResourceArns: []string{test.resource}})
		t.Log(test.name)
		wantError(t, err, test.code, test.status, "")
	}
	lift := w.AddFault(awsd.Fault{Service: "iam", Operation: "SimulatePrincipalPolicy", Kind: awsd.Refuse})
	defer lift()
	_, err := w.iam(acct).SimulatePrincipalPolicy(w.ctx(), &iam.SimulatePrincipalPolicyInput{PolicySourceArn: aws.String(reader), ActionNames: []string{"iam:GetRole"}})
	wantError(t, err, "AccessDenied", 403, "iam:SimulatePrincipalPolicy")
}
