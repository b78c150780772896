package sandbox_test

import (
	"bytes"
	"encoding/json"
	"os"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/lanyard-io/lanyard/internal/sandbox"
)

// TestExampleWorld: the world of the example fleet shows what its snapshot says.
func TestExampleWorld(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../examples/live.yaml")
	if err != nil {
		t.Fatal(err)
	}
	data, err := yaml.YAMLToJSON(text)
	if err != nil {
		t.Fatal(err)
	}
	w, err := sandbox.Load(data, sandbox.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	grants, err := w.Credentials(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]sandbox.Grant{}
	for _, g := range grants {
		got[g.Namespace+"/"+g.ServiceAccount] = g
	}
	const role = "arn:aws:iam::123456789012:role/"
	for subject, want := range map[string]struct{ mechanism, role string }{
		"demo/s3-reader":  {"irsa", role + "eks-irsa-lab-demo-s3-reader-role"},
		"demo2/s3-reader": {"irsa", ""},
		"kube-system/aws-load-balancer-controller": {"irsa", role + "eksctl-irsa-lab-addon-iamserviceaccount-lbc"},
		"kube-system/aws-node":                     {"pod-identity", role + "AmazonEKSVPCCNIRole-2023"},
		"karpenter/karpenter":                      {"irsa", role + "KarpenterController-irsa-lab"},
		"tf-demo/tf-s3-reader":                     {"irsa", ""},
		"cross/accountb-direct":                    {"irsa", "arn:aws:iam::210987654321:role/eks-irsa-lab-accountb-direct"},
		"win-demo/iis-logs":                        {"irsa", role + "eks-irsa-lab-win-demo-iis-logs-role"},
		"batch/reporter":                           {"irsa", role + "eks-irsa-lab-batch-shared-role"},
		"late/late-bird":                           {"none", ""},
		"payments/api":                             {"pod-identity", role + "payments-api-debug"},
	} {
		if g := got[subject]; g.Mechanism != want.mechanism || g.Role != want.role {
			b, _ := json.Marshal(g)
			t.Errorf("%s would get %s; want %s %q", subject, b, want.mechanism, want.role)
		}
	}
	if len(grants) != 22 {
		t.Errorf("%d containers run, want 22", len(grants))
	}
}

// TestExceptions: what a snapshot marks with ! is NotAction and NotResource in a policy.
func TestExceptions(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../examples/live.yaml")
	if err != nil {
		t.Fatal(err)
	}
	data, err := yaml.YAMLToJSON(text)
	if err != nil {
		t.Fatal(err)
	}
	const role = "arn:aws:iam::123456789012:role/power"
	data = bytes.Replace(data, []byte(`"roles":[{"arn"`), []byte(`"roles":[{"arn":"`+role+`","presence":"present","policiesRead":true,"trustPolicy":"{\"Version\":\"2012-10-17\",\"Statement\":[{\"Effect\":\"Allow\",\"Principal\":{\"Service\":\"pods.eks.amazonaws.com\"},\"Action\":\"sts:AssumeRole\"}]}",`+
		`"policies":[{"name":"power","statements":[{"actions":["!iam:*"],"resources":["!arn:aws:iam::123456789012:role/x"]}]}]},{"arn"`), 1)
	w, err := sandbox.Load(data, sandbox.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	got, ok := w.AWS.Role(role)
	if want := `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","NotAction":["iam:*"],"NotResource":["arn:aws:iam::123456789012:role/x"]}]}`; !ok || got.Inline["power"] != want {
		t.Errorf("%t %s, want %s", ok, got.Inline["power"], want)
	}
}
