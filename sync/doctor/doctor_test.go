package doctor_test

import (
	"bytes"
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/lanyard-io/lanyard/internal/identity"
	"github.com/lanyard-io/lanyard/internal/testkit"
	"github.com/lanyard-io/lanyard/sync/doctor"
	"github.com/lanyard-io/lanyard/sync/live"
	"github.com/lanyard-io/lanyard/sync/report"
)

var (
	noon    = time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)
	refused = doctor.Trouble{Reason: live.GapRefused, Message: "not allowed"}
	slow    = doctor.Trouble{Reason: live.GapFailed, Message: "no answer in time", Silent: true}
	broken  = doctor.Trouble{Reason: live.GapFailed, Message: "connection refused"}
	busy    = doctor.Trouble{Reason: live.GapThrottled, Message: "Rate exceeded"}
	arn     = "arn:aws:iam::123456789012:oidc-provider/oidc.example/id/A"
	nodes   = []live.Node{{Name: "a", AgentReady: true}, {Name: "f", ComputeType: "fargate"}, {Name: "h", ComputeType: "hybrid"}, {Name: "w", OS: "windows"}}
)

// judged is one verdict that must come out of some facts.
type judged struct {
	name  string
	facts interface{ Judge() doctor.Check }
	want  doctor.Result
	seen  string
	fix   string
}

// cases are for each check what makes it good, bad and unknown.
var cases = map[doctor.ID][]judged{
	doctor.IDConfiguration: {
		{"good", doctor.Configuration{File: "lanyard.yaml", Cluster: "irsa-lab", Mode: "repair", Features: []string{"accounts"}}, doctor.OK, "lanyard.yaml: cluster irsa-lab, mode repair, with accounts", ""},
		{"none", doctor.Configuration{Mode: "observe"}, doctor.Skipped, "mode observe is taken", ""},
		{"broken", doctor.Configuration{File: "lanyard.yaml", Problems: []string{"lanyard.yaml:1:1: no", "lanyard.yaml:2:1: nor this"}}, doctor.Failed, "nor this", "lanyard schema configuration"},
	},
	doctor.IDFiles: {
		{"good", doctor.Files{{What: "--hook-secret", Path: "/run/a"}}, doctor.OK, "--hook-secret /run/a", ""},
		{"none", doctor.Files{}, doctor.Skipped, "no file", ""},
		{"one is missing", doctor.Files{{What: "a", Path: "/a"}, {What: "b", Path: "/b", Problem: "no such file"}}, doctor.Failed, "b /b: no such file", "Secret"},
	},
	doctor.IDAPIServer: {
		{"good", doctor.APIServer{Version: "v1.37.2-eks-1", Minor: 37, Mode: "migrate"}, doctor.OK, "Kubernetes v1.37.2-eks-1", ""},
		{"refuses connections", doctor.APIServer{Trouble: broken}, doctor.Failed, "connection refused", "--kubeconfig"},
		{"is silent", doctor.APIServer{Trouble: slow}, doctor.Unknown, "no answer in time", "port 443"},
		{"is busy", doctor.APIServer{Trouble: busy}, doctor.Unknown, "Rate exceeded", "some minutes"},
		{"is no Kubernetes", doctor.APIServer{Version: "v2"}, doctor.Warning, "v2", "kubeconfig"},
		{"is too old to migrate", doctor.APIServer{Version: "v1.29.0", Minor: 29, Mode: "migrate"}, doctor.Failed, "v1.29.0", "update-cluster-version"},
		{"is old", doctor.APIServer{Version: "v1.29.0", Minor: 29, Mode: "repair"}, doctor.Warning, "1.37", "built for"},
		{"is new", doctor.APIServer{Version: "v1.41.0", Minor: 41, Mode: "repair"}, doctor.Warning, "1.37", "built for"},
		{"is three newer", doctor.APIServer{Version: "v1.40.0", Minor: 40, Mode: "repair"}, doctor.OK, "", ""},
	},
	doctor.IDKubernetesClock: {
		{"good", doctor.Clock{ID: doctor.IDKubernetesClock, Whose: "the API server", Ahead: -29 * time.Second}, doctor.OK, "within 30s", ""},
		{"behind", doctor.Clock{ID: doctor.IDKubernetesClock, Whose: "the API server", Ahead: -30 * time.Second}, doctor.Warning, "the API server is 30s behind this clock", "NTP"},
		{"far ahead", doctor.Clock{ID: doctor.IDKubernetesClock, Whose: "the API server", Ahead: 5 * time.Minute}, doctor.Failed, "5m0s ahead", "NTP"},
		{"far behind", doctor.Clock{ID: doctor.IDKubernetesClock, Whose: "the API server", Ahead: -6 * time.Minute}, doctor.Failed, "6m0s behind", "NTP"},
		{"silent", doctor.Clock{ID: doctor.IDKubernetesClock, Trouble: slow}, doctor.Unknown, "no answer", "port 443"},
	},
	doctor.IDAWSClock: {
		{"good", doctor.Clock{ID: doctor.IDAWSClock, Whose: "AWS"}, doctor.OK, "AWS's clock agrees", ""},
		{"off", doctor.Clock{ID: doctor.IDAWSClock, Whose: "AWS", Ahead: 299 * time.Second}, doctor.Warning, "4m59s ahead", "NTP"},
		{"silent", doctor.Clock{ID: doctor.IDAWSClock, Trouble: slow}, doctor.Unknown, "no answer", "endpoints"},
		{"far off", doctor.Clock{ID: doctor.IDAWSClock, Whose: "AWS", Ahead: time.Hour}, doctor.Failed, "1h0m0s ahead", "NTP"},
	},
	doctor.IDIssuer: {
		{"good", doctor.Issuer{API: "https://a", EKS: "https://a"}, doctor.OK, "both name https://a", ""},
		{"another", doctor.Issuer{API: "https://a", EKS: "https://b", Cluster: "lab"}, doctor.Failed, "cluster-mismatch", "update-kubeconfig --name lab"},
		{"none", doctor.Issuer{API: "https://a", Cluster: "lab"}, doctor.Failed, "no OIDC issuer of cluster lab", "describe-cluster"},
		{"refused", doctor.Issuer{Trouble: refused}, doctor.Unknown, "not allowed", "kubernetes-permissions"},
	},
	doctor.IDKubernetesPermissions: {
		{"good", doctor.KubernetesPermissions{User: "u", Asked: 9}, doctor.OK, "u has all 9", ""},
		{"missing", doctor.KubernetesPermissions{User: "u", Rules: []doctor.Rule{{Text: "{r}", Missing: []string{"list pods", "watch pods"}}}, Command: "lanyard policy -o rbac"}, doctor.Failed, "missing: list pods, watch pods. The rule: {r}", "lanyard policy -o rbac | kubectl apply -f -"},
		{"missing to a person", doctor.KubernetesPermissions{User: "ann", Person: true, Rules: []doctor.Rule{{Text: "{r}", Missing: []string{"list pods"}}}, Command: "c"}, doctor.Failed, "ann may not", "--as system:serviceaccount"},
		{"of kinds that are not there", doctor.KubernetesPermissions{User: "u", Rules: []doctor.Rule{{Text: "{r}", Missing: []string{"list x"}, Absent: true}}}, doctor.OK, "not needed while the cluster does not have these kinds: {r}", ""},
		{"not told", doctor.KubernetesPermissions{Trouble: refused}, doctor.Unknown, "not allowed", "subjectaccessreviews"},
		{"silent", doctor.KubernetesPermissions{Trouble: slow}, doctor.Unknown, "no answer", "port 443"},
	},
	doctor.IDKubernetesExcess: {
		{"good", doctor.KubernetesExcess{User: "u"}, doctor.OK, "u may not", ""},
		{"too much", doctor.KubernetesExcess{User: "u", Has: []string{"read every Secret"}}, doctor.Warning, "read every Secret", "access entry"},
		{"a person", doctor.KubernetesExcess{User: "ann", Person: true}, doctor.Skipped, "--as", ""},
		{"not told", doctor.KubernetesExcess{Trouble: broken}, doctor.Unknown, "connection refused", "port 443"},
	},
	doctor.IDNamespace: {
		{"good", doctor.Namespace{Name: "lanyard", Present: true}, doctor.OK, "namespace lanyard", ""},
		{"none", doctor.Namespace{Name: "lanyard"}, doctor.Failed, "no namespace lanyard", "kubectl create namespace lanyard"},
		{"going", doctor.Namespace{Name: "lanyard", Present: true, Terminating: true}, doctor.Failed, "being deleted", "wait"},
		{"not told", doctor.Namespace{Trouble: refused}, doctor.Unknown, "not allowed", "kubernetes-permissions"},
	},
	doctor.IDWebhook: {
		{"good", doctor.Webhook{Present: true, Hooks: 1}, doctor.OK, "pod-identity-webhook", ""},
		{"none", doctor.Webhook{}, doctor.Failed, "by either mechanism", "AWS Support"},
		{"empty", doctor.Webhook{Present: true}, doctor.Failed, "with a webhook in it", "AWS Support"},
		{"not told", doctor.Webhook{Trouble: refused}, doctor.Unknown, "not allowed", "kubernetes-permissions"},
	},
	doctor.IDAgent: {
		{"good", doctor.Agent{Sets: []string{"DaemonSet x"}, Nodes: nodes}, doctor.OK, "1 of 1 nodes", ""},
		{"none", doctor.Agent{Cluster: "lab", Nodes: []live.Node{{Name: "b"}}}, doctor.Warning, "nobody can use Pod Identity", "create-addon --cluster-name lab"},
		{"a node without", doctor.Agent{Sets: []string{"x"}, Nodes: append([]live.Node{{Name: "b"}}, nodes...)}, doctor.Failed, "node b has no ready agent", "AssumeRoleForPodIdentity"},
		{"a young node without", doctor.Agent{Sets: []string{"x"}, Nodes: append([]live.Node{{Name: "b"}}, nodes...), Young: map[string]bool{"b": true}}, doctor.OK, "1 of 2 nodes", ""},
		{"Auto Mode", doctor.Agent{Auto: true, Nodes: []live.Node{{Name: "i", AgentReady: true, ComputeType: "auto"}}}, doctor.OK, "1 of 1", ""},
		{"not told", doctor.Agent{Trouble: refused}, doctor.Unknown, "not allowed", "kubernetes-permissions"},
	},
	doctor.IDAdmissionPolicy: {
		{"good", doctor.AdmissionPolicy{User: identity.Subject{Namespace: "l", ServiceAccount: "y"}}, doctor.OK, "for ServiceAccount l/y", ""},
		{"taken for", doctor.AdmissionPolicy{User: identity.Subject{Namespace: "l", ServiceAccount: "y"}, Assumed: true}, doctor.OK, "is taken to run as", ""},
		{"not there", doctor.AdmissionPolicy{User: identity.Subject{Namespace: "l", ServiceAccount: "y"}, Wrong: []string{"binding is not there"}, Command: "lanyard policy -o admission"}, doctor.Failed, "probe-unguarded", "lanyard policy -o admission | kubectl apply -f -"},
		{"not told", doctor.AdmissionPolicy{Trouble: refused}, doctor.Unknown, "not allowed", "kubernetes-permissions"},
	},
	doctor.IDAWSIdentity: {
		{"good", doctor.AWSIdentity{ARN: "arn:x", Mechanism: "container", Wiring: identity.PodIdentity}, doctor.OK, "arn:x, by pod-identity", ""},
		{"by keys", doctor.AWSIdentity{ARN: "arn:x", Mechanism: "static-keys"}, doctor.OK, "by static-keys", ""},
		{"by nobody knows what", doctor.AWSIdentity{ARN: "arn:x"}, doctor.OK, "arn:x", ""},
		{"by the node, in a pod", doctor.AWSIdentity{ARN: "arn:x", Mechanism: "instance-metadata", InPod: true}, doctor.Failed, "the node's own role", "trust-pod-identity"},
		{"by the machine", doctor.AWSIdentity{ARN: "arn:x", Mechanism: "instance-metadata"}, doctor.OK, "instance-metadata", ""},
		{"root", doctor.AWSIdentity{ARN: "arn:aws:iam::123456789012:root"}, doctor.Warning, "root", "use a role"},
		{"none", doctor.AWSIdentity{Trouble: refused}, doctor.Failed, "not allowed", "lanyard whoami"},
		{"silent", doctor.AWSIdentity{Trouble: slow}, doctor.Unknown, "no answer", "VPC endpoints"},
	},
	doctor.IDAWSAccount: {
		{"good", doctor.AWSAccount{Caller: "1", Region: "r", Cluster: "1", Allow: []string{"1", "2"}, Others: []string{"2"}}, doctor.OK, "account 1 in r", ""},
		{"not the cluster's", doctor.AWSAccount{Caller: "1", Cluster: "2"}, doctor.Failed, "the cluster is in account 2", "credentials of account 2"},
		{"not allow's", doctor.AWSAccount{Caller: "1", Allow: []string{"3"}}, doctor.Failed, "account 3", "accounts"},
		{"not told", doctor.AWSAccount{Trouble: slow}, doctor.Unknown, "no answer", "endpoints"},
	},
	doctor.IDCluster: {
		{"good", doctor.Cluster{Name: "lab", Status: "ACTIVE", Version: "1.37", Region: "r", Account: "1"}, doctor.OK, "lab is ACTIVE, Kubernetes 1.37, in r of account 1", ""},
		{"being updated", doctor.Cluster{Name: "lab", Status: "UPDATING"}, doctor.OK, "UPDATING", ""},
		{"none", doctor.Cluster{Trouble: broken, Missing: true, Name: "lab", Region: "r", Account: "1"}, doctor.Failed, "no cluster lab in r of account 1", "AWS_REGION"},
		{"being deleted", doctor.Cluster{Name: "lab", Status: "DELETING"}, doctor.Failed, "DELETING", "describe-cluster --name lab"},
		{"not told", doctor.Cluster{Trouble: refused}, doctor.Unknown, "not allowed", "aws-permissions"},
	},
	doctor.IDOIDCProvider: {
		{"good", doctor.OIDCProvider{ARN: arn, Present: true, Audiences: []string{"x", "sts.amazonaws.com"}}, doctor.OK, "takes x, sts.amazonaws.com", ""},
		{"none", doctor.OIDCProvider{ARN: arn, Cluster: "lab"}, doctor.Failed, "no OIDC provider " + arn, "--cluster lab"},
		{"another audience", doctor.OIDCProvider{ARN: arn, Present: true}, doctor.Failed, "these audiences: none", "--open-id-connect-provider-arn " + arn},
		{"not told", doctor.OIDCProvider{Trouble: refused}, doctor.Unknown, "not allowed", "aws-permissions"},
	},
	doctor.IDAWSPermissions: {
		{"good", doctor.AWSPermissions{Who: "r", Simulated: true, Actions: []doctor.Action{{Name: "a:B", Grant: doctor.Granted}}}, doctor.OK, "r: 1 granted, 0 missing, 0 not known, by simulation", ""},
		{"missing", doctor.AWSPermissions{Who: "r", Simulated: true, Actions: []doctor.Action{{Name: "a:B", Resource: "arn:b", Grant: doctor.Denied, Why: "no policy allows it"}}, Command: "lanyard policy -o iam"}, doctor.Failed, "missing: a:B on arn:b: no policy allows it", "lanyard policy -o iam"},
		{"one missing, one not known", doctor.AWSPermissions{Actions: []doctor.Action{{Name: "a:B", Grant: doctor.Denied}, {Name: "a:C", Grant: doctor.NotAsked}}}, doctor.Failed, "not known: a:C", ""},
		{"a write is not known", doctor.AWSPermissions{Who: "r", Refused: "not authorized", Actions: []doctor.Action{{Name: "a:B", Grant: doctor.Granted}, {Name: "a:C", Grant: doctor.NotAsked}}}, doctor.Unknown, "not simulated: not authorized", "iam:SimulatePrincipalPolicy"},
		{"silent", doctor.AWSPermissions{Trouble: slow}, doctor.Unknown, "no answer", "endpoints"},
	},
	doctor.IDOtherAccounts: {
		{"good", doctor.OtherAccounts{Entries: []doctor.Entry{{Account: "2", Role: "arn:r"}}}, doctor.OK, "account 2 by arn:r", ""},
		{"none", doctor.OtherAccounts{}, doctor.Skipped, "no other account", ""},
		{"one refuses", doctor.OtherAccounts{Entries: []doctor.Entry{{Account: "2"}, {Account: "3", Trouble: refused}}, Command: "c"}, doctor.Failed, "account 3", "external ID"},
		{"one is silent", doctor.OtherAccounts{Entries: []doctor.Entry{{Account: "3", Trouble: slow}}}, doctor.Unknown, "no answer", "endpoints"},
	},
	doctor.IDSignatureKeys: {
		{"good", doctor.SignatureKeys{Asked: true, Now: noon, Keys: []doctor.Key{{Name: "k", From: noon.Add(-time.Hour), Until: noon.Add(365 * 24 * time.Hour)}}}, doctor.OK, "1 of 1 keys", ""},
		{"without an end", doctor.SignatureKeys{Asked: true, Now: noon, Keys: []doctor.Key{{Name: "k"}}}, doctor.OK, "1 of 1 keys", ""},
		{"not asked for", doctor.SignatureKeys{}, doctor.Skipped, "source.verify", ""},
		{"broken", doctor.SignatureKeys{Asked: true, Problem: "no key in it"}, doctor.Failed, "no key in it", "gpg --armor --export"},
		{"expired", doctor.SignatureKeys{Asked: true, Now: noon, Keys: []doctor.Key{{Name: "k", Until: noon}}}, doctor.Failed, "k expired at 2026-11-28T12:00:00Z", "current keys"},
		{"not yet", doctor.SignatureKeys{Asked: true, Now: noon, Keys: []doctor.Key{{Name: "k", From: noon.Add(time.Hour)}}}, doctor.Failed, "k is valid from", ""},
		{"revoked", doctor.SignatureKeys{Asked: true, Now: noon, Keys: []doctor.Key{{Name: "k", Revoked: true}}}, doctor.Failed, "k is revoked", ""},
		{"for something else", doctor.SignatureKeys{Asked: true, Now: noon, Keys: []doctor.Key{{Name: "k", Unusable: "may sign for file only"}}}, doctor.Failed, "k may sign for file only", ""},
		{"one of two", doctor.SignatureKeys{Asked: true, Now: noon, Keys: []doctor.Key{{Name: "k", Revoked: true}, {Name: "l"}}}, doctor.OK, "1 of 2 keys", ""},
		{"soon", doctor.SignatureKeys{Asked: true, Now: noon, Keys: []doctor.Key{{Name: "k", Until: noon.Add(13 * 24 * time.Hour)}}}, doctor.Warning, "k expires at", "prolonged"},
	},
	doctor.IDGitSource: {
		{"good", doctor.GitSource{Where: "https://h/r main", Revision: "main@sha1:1"}, doctor.OK, "https://h/r main at main@sha1:1", ""},
		{"not there", doctor.GitSource{Trouble: broken}, doctor.Failed, "connection refused", "git ls-remote"},
		{"silent", doctor.GitSource{Trouble: slow}, doctor.Unknown, "no answer", "NetworkPolicy"},
	},
	doctor.IDSignature: {
		{"good", doctor.Signature{Asked: true}, doctor.OK, "has signed the head", ""},
		{"not asked for", doctor.Signature{}, doctor.Skipped, "source.verify", ""},
		{"none", doctor.Signature{Asked: true, Problem: "commit 1: it is not signed", Next: "sign it"}, doctor.Failed, "last accepted commit", "sign it"},
		{"not read", doctor.Signature{Asked: true, Trouble: slow}, doctor.Unknown, "git-source", "git-source"},
	},
	doctor.IDRevision: {
		{"good", doctor.Revision{Known: true, Mappings: 3}, doctor.OK, "mappings for this cluster: 3", ""},
		{"good, of no known cluster", doctor.Revision{}, doctor.OK, "well formed", ""},
		{"empty", doctor.Revision{Known: true}, doctor.Warning, "no mapping", "spec.clusters"},
		{"broken", doctor.Revision{Problems: []string{"a.yaml:1:1: x"}}, doctor.Failed, "1 problems", "lanyard validate"},
		{"very broken", doctor.Revision{Problems: slices.Repeat([]string{"a.yaml:1:1: x"}, 12)}, doctor.Failed, "and 2 more", "lanyard validate"},
		{"not read", doctor.Revision{Trouble: slow}, doctor.Unknown, "no answer", "git-source"},
	},
}

// all are the verdicts of every case.
func all() []doctor.Check {
	var out []doctor.Check
	for _, id := range doctor.Checks() {
		for _, c := range cases[id] {
			out = append(out, c.facts.Judge())
		}
	}
	return out
}

// TestJudge: each check is good, bad or unknown as its facts are.
func TestJudge(t *testing.T) {
	t.Parallel()
	for _, id := range doctor.Checks() {
		got := map[doctor.Result]bool{}
		for _, c := range cases[id] {
			check := c.facts.Judge()
			got[check.Result] = true
			if check.ID != id || check.Title != id.Title() || check.Area != id.Area() || check.Title == "" {
				t.Errorf("%s, %s: it is check %+v", id, c.name, check)
			}
			if check.Result != c.want || !strings.Contains(strings.Join(check.Evidence, "\n"), c.seen) || !strings.Contains(check.Fix, c.fix) {
				t.Errorf("%s, %s: %s %q, fix %q\nwant %s with %q, fix with %q", id, c.name, check.Result, check.Evidence, check.Fix, c.want, c.seen, c.fix)
			}
			if good := check.Result == doctor.OK || check.Result == doctor.Skipped; good != (check.Fix == "") || len(check.Evidence) == 0 {
				t.Errorf("%s, %s: %s with evidence %q and fix %q", id, c.name, check.Result, check.Evidence, check.Fix)
			}
		}
		if !got[doctor.OK] || !got[doctor.Failed] && !got[doctor.Warning] {
			t.Errorf("%s has no case that is good, or none that is bad: %v", id, got)
		}
	}
}

// TestForms: a report of everything, in each form.
func TestForms(t *testing.T) {
	t.Parallel()
	checks := []doctor.Check{doctor.Skip(doctor.IDFiles, "no file is named"), doctor.Blocked(doctor.IDRevision, doctor.IDGitSource), doctor.Silent(doctor.IDGitSource, "45s")}
	for _, id := range []doctor.ID{doctor.IDAWSPermissions, doctor.IDIssuer, doctor.IDAgent, doctor.IDKubernetesPermissions, doctor.IDAPIServer} {
		for i, c := range cases[id] {
			if i < 2 {
				checks = append(checks, c.facts.Judge())
			}
		}
	}
	r := doctor.NewReport("irsa-lab", "migrate", checks)
	var table, painted, markdown bytes.Buffer
	data, err := r.JSON()
	if err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{r.Table(&table, doctor.View{}), r.Markdown(&markdown), r.Table(&painted, doctor.View{Paint: func(s report.Style, text string) string {
		return "<" + [...]string{"critical", "warning", "info", "good", "strong", "faint"}[s] + ">" + text + "</>"
	}})} {
		if err != nil {
			t.Fatal(err)
		}
	}
	testkit.Golden(t, "report.table", table.String())
	testkit.Golden(t, "painted.table", painted.String())
	testkit.Golden(t, "report.md", markdown.String())
	testkit.Golden(t, "report.json", string(data))
}

// TestOrder: checks come in the order of the list, however they were made, and each
// result is counted.
func TestOrder(t *testing.T) {
	t.Parallel()
	checks := all()
	slices.Reverse(checks)
	r := doctor.NewReport("c", "observe", checks)
	var ids []doctor.ID
	for _, c := range r.Checks {
		ids = append(ids, c.ID)
	}
	if ids = slices.Compact(ids); !slices.Equal(ids, doctor.Checks()) {
		t.Errorf("order %v, want %v", ids, doctor.Checks())
	}
	s := r.Summary
	if s.OK+s.Failed+s.Unknown+s.Warning+s.Skipped != len(checks) || s.OK == 0 || s.Failed == 0 || s.Unknown == 0 || s.Warning == 0 || s.Skipped == 0 {
		t.Errorf("summary %+v of %d checks", s, len(checks))
	}
	for result, fails := range map[doctor.Result]bool{doctor.OK: false, doctor.Warning: false, doctor.Skipped: false, doctor.Unknown: true, doctor.Failed: true} {
		if got := doctor.NewReport("c", "observe", []doctor.Check{{Result: doctor.OK}, {Result: result}}).Fails(); got != fails {
			t.Errorf("a report with %s fails: %v, want %v", result, got, fails)
		}
	}
}

// TestSchema: the report is what docs/schemas/doctor.json says, which lets nothing else in.
func TestSchema(t *testing.T) {
	t.Parallel()
	const file = "../../docs/schemas/doctor.json"
	schema, err := jsonschema.NewCompiler().Compile(file)
	if err != nil {
		t.Fatal(err)
	}
	for name, r := range map[string]doctor.Report{"every verdict": doctor.NewReport("irsa-lab", "observe", all()), "nothing": doctor.NewReport("c", "migrate", nil)} {
		text, err := r.JSON()
		if err != nil {
			t.Fatal(err)
		}
		value, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		if err := schema.Validate(value); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if bytes.Contains(text, []byte(": null")) {
			t.Errorf("%s: a list is null", name)
		}
	}
	for _, bad := range []doctor.Check{
		{ID: "new", Area: "git", Title: "t", Result: doctor.OK, Evidence: []string{"x"}},
		{ID: doctor.IDIssuer, Area: "git", Title: "t", Result: doctor.Failed, Evidence: []string{"x"}},
		{ID: doctor.IDIssuer, Area: "git", Title: "t", Result: doctor.OK, Evidence: []string{"x"}, Fix: "none is needed"},
	} {
		text, err := doctor.Report{Mode: "observe", Checks: []doctor.Check{bad}}.JSON()
		if err != nil {
			t.Fatal(err)
		}
		value, _ := jsonschema.UnmarshalJSON(bytes.NewReader(text))
		if schema.Validate(value) == nil {
			t.Errorf("the schema takes %+v", bad)
		}
	}
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if open := strings.Count(string(data), `"type": "object"`) - strings.Count(string(data), `"additionalProperties"`); open != 0 {
		t.Errorf("%d objects of the schema let in what it does not name", open)
	}
	var doc struct {
		Defs struct {
			ID     struct{ Enum []doctor.ID }     `json:"id"`
			Result struct{ Enum []doctor.Result } `json:"result"`
		} `json:"$defs"`
	}
	if err := json.Unmarshal(data, &doc); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(doc.Defs.ID.Enum, doctor.Checks()) || !slices.Equal(doc.Defs.Result.Enum, doctor.Results()) {
		t.Errorf("the schema has checks %v and results %v", doc.Defs.ID.Enum, doc.Defs.Result.Enum)
	}
}

// TestBuiltFor: the version that API servers are compared with is that of the client.
func TestBuiltFor(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile("../../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(data), "k8s.io/client-go v0.")
	if minor, _, _ := strings.Cut(rest, "."); minor != "37" || doctor.BuiltFor != 37 {
		t.Errorf("client-go is that of Kubernetes 1.%s, and BuiltFor is %d: make them one", minor, doctor.BuiltFor)
	}
}

// TestHostile: what others write into names and answers does no harm.
func TestHostile(t *testing.T) {
	t.Parallel()
	const evil = "<script>alert(1)</script>\x1b[31m|`**` @org/team ~~x~~ $x$ https://evil.example/ \u202e"
	r := doctor.NewReport(evil, evil, []doctor.Check{
		doctor.Cluster{Name: evil, Status: evil}.Judge(), doctor.GitSource{Where: evil, Revision: evil}.Judge(),
		doctor.KubernetesPermissions{User: evil, Rules: []doctor.Rule{{Text: evil, Missing: []string{evil}}}}.Judge()})
	var table, markdown bytes.Buffer
	if err := r.Table(&table, doctor.View{}); err != nil {
		t.Fatal(err)
	}
	if err := r.Markdown(&markdown); err != nil {
		t.Fatal(err)
	}
	for name, got := range map[string]string{"table": table.String(), "markdown": markdown.String()} {
		if strings.ContainsAny(got, "\x1b\u202e") {
			t.Errorf("%s has an escape character", name)
		}
	}
	for _, markup := range []string{"<script", "@org", "~~x", "$x$", "://evil"} {
		if strings.Contains(strings.ReplaceAll(markdown.String(), `\`+markup, ""), markup) {
			t.Errorf("markdown has %q as it is:\n%s", markup, markdown.String())
		}
	}
}
