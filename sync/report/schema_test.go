package report_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/lanyard-io/lanyard/desired"
	"github.com/lanyard-io/lanyard/internal/identity"
	"github.com/lanyard-io/lanyard/sync/diff"
	"github.com/lanyard-io/lanyard/sync/live"
	"github.com/lanyard-io/lanyard/sync/plan"
	"github.com/lanyard-io/lanyard/sync/report"
	"github.com/lanyard-io/lanyard/sync/trust"
)

const schemaFile = "../../docs/schemas/diff.json"

// optional are the members that a report may lack, by the path of their object.
// Everything else that [full] writes is required.
var optional = map[string][]string{
	"summary.byPlane": {"association", "git", "pods", "service-account", "trust"},
	"steps[put-trust-statement].with.statement":                        {"Condition"},
	"steps[put-trust-statement].with.statement.Condition.StringEquals": {"aws:RequestTag/eks-cluster-arn", "aws:SourceAccount"},
	"steps[create-association].guards[trust-allows].is.requests":       {"audience", "provider"},
	"steps[set-annotation].with":                                       {"force", "old"},
	"steps[create-association].with":                                   {"sessionPolicy", "sessionTagsOff", "targetRole"},
	"steps[create-association].with.tags":                              {"lanyard.io/cluster"},
	"steps[update-association].with":                                   {"role", "sessionPolicy", "sessionTagsOff", "targetRole"},
	"steps[create-association].guards[unused].is":                      {"role", "templates"},
	"steps[create-association].guards[association-is].is":              {"role"},
	"steps[create-association].guards[workload-is].is":                 {"idle", "restartedAt"},
	"steps[revoke-trust].with.request":                                 {"audience", "provider"},
	"steps[restart-workload].with":                                     {"old"},
	"left":                                                             {"handoff", "notBefore", "plane", "subject"},
	"left.handoff":                                                     {"command", "hcl", "json", "owner"},
	"gaps":                                                             {"message", "scope"},
}

// full is a report with every action and guard, and every member set.
func full(t *testing.T) report.Diff {
	t.Helper()
	role := identity.RoleARN{Partition: "aws", Account: "123456789012", Path: "/team/", Name: "api"}
	cluster := identity.Cluster{Name: "irsa-lab", Region: "eu-west-1", Account: "123456789012", Partition: "aws",
		Issuer: "https://oidc.eks.eu-west-1.amazonaws.com/id/EXAMPLE"}
	who, off, deployment := subject("payments", "api"), true, live.WorkloadRef{Kind: "Deployment", Name: "api"}
	steps := []plan.Step{
		{Effect: plan.Widen, Action: plan.PutTrustStatement{Role: role, Quota: 2048, Grant: trust.Grant{
			Mechanism: identity.PodIdentity, Subject: who, Cluster: cluster, Width: identity.WidthCluster, SessionTags: true}}},
		{Effect: plan.Narrow, Action: plan.DropTrustStatement{Role: role, Sid: "Lanyard0123456789abcdef"}},
		{Effect: plan.Cross, Action: plan.SetAnnotation{UID: "u", Key: "k", Value: "new", Old: "old", Force: true}},
		{Effect: plan.Narrow, Action: plan.DropAnnotation{UID: "u", Key: "k", Old: "old"}},
		{Effect: plan.Cross, Action: plan.CreateAssociation{Role: role, TargetRole: role, SessionTagsOff: true, SessionPolicy: "{}",
			Tags: map[string]string{"lanyard.io/cluster": "irsa-lab"}},
			Guards: []plan.Guard{
				plan.TrustIs{Role: role, Digest: "d"},
				plan.TrustAllows{Role: role, Requests: []trust.Request{{Mechanism: identity.IRSA, Subject: who, Cluster: cluster,
					Provider: "arn:aws:iam::123456789012:oidc-provider/x", Audience: "sts.amazonaws.com"}}},
				plan.AnnotationIs{Subject: who, UID: "u", Key: "k"},
				plan.AssociationIs{Subject: who, ID: "a-1", Role: role},
				plan.Unused{Subject: who, Mechanism: identity.IRSA, Role: role, Templates: true},
				plan.NotWired{Subject: who, Mechanism: identity.IRSA, Role: role},
				plan.AudiencesWithin{Subject: who, Role: role, Audiences: []string{"sts.amazonaws.com"}},
				plan.PodIs{Subject: who, Pod: "api-0", UID: "u"},
				plan.WorkloadIs{Subject: who, Workload: deployment, UID: "u", RestartedAt: "t", Idle: true},
			}},
		{Effect: plan.Cross, Action: plan.UpdateAssociation{ID: "a-1", Role: role, TargetRole: role, SessionTagsOff: &off, SessionPolicy: "{}"}},
		{Effect: plan.Narrow, Action: plan.DeleteAssociation{ID: "a-1"}},
		{Effect: plan.Narrow, Action: plan.RevokeTrust{Role: role, Request: trust.Request{Mechanism: identity.IRSA, Subject: who, Cluster: cluster,
			Provider: "arn:aws:iam::123456789012:oidc-provider/x", Audience: "sts.amazonaws.com"}}},
		{Effect: plan.Cross, Action: plan.EvictPod{Pod: "api-0", UID: "u"}},
		{Effect: plan.Cross, Action: plan.RestartWorkload{Workload: deployment, UID: "u", Old: "t"}},
		{Effect: plan.Cross, Action: plan.PauseRollout{Workload: deployment, UID: "u", Why: "pod api-1 came up without credentials"}},
		{Effect: plan.Cross, Action: plan.ResumeRollout{Workload: deployment, UID: "u"}},
	}
	for i := range steps {
		steps[i].Subject, steps[i].Plane, steps[i].Because = who, diff.PlaneTrust, "why"
	}
	result := diff.Result{Cluster: cluster, Unmanaged: []identity.Subject{who}}
	for _, kind := range diff.Kinds() {
		for _, severity := range []diff.Severity{diff.Info, diff.Warning, diff.Critical} {
			result.Findings = append(result.Findings, diff.Finding{Subject: who, Plane: kind.Plane(), Kind: kind, Severity: severity})
		}
	}
	for _, class := range []diff.Class{diff.Rest, diff.Drift, diff.Transition, diff.Held, diff.Blind} {
		for _, m := range []identity.Mechanism{identity.None, identity.IRSA, identity.PodIdentity} {
			result.Judged = append(result.Judged, diff.Judged{Mapping: desired.Mapping{Subject: who, Role: role,
				Mechanism: identity.Auto}, Wanted: m, On: m, Class: class, Unknown: []string{"pods"}})
		}
	}
	p := plan.Plan{Steps: steps}
	for _, reason := range plan.Reasons() {
		p.Holds = append(p.Holds, plan.Hold{Subject: who, Plane: diff.PlaneTrust, Reason: reason, Message: "m", NotBefore: noon,
			Handoff: &plan.Handoff{Owner: "o", What: "w", JSON: "{}", HCL: "h", Command: "c"}})
	}
	return report.NewDiff(desired.ModeRepair, desired.Revision{Ref: "main", Commit: "4f1c0c5a9a3e7b6d2f8e1a0b9c8d7e6f5a4b3c2d"}, result, p, []live.Gap{
		{Source: live.SourceWebhook, Scope: "s", Reason: live.GapRefused, Message: "m"},
	})
}

func schema(t *testing.T) *jsonschema.Schema {
	t.Helper()
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	s, err := c.Compile(schemaFile)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func decode(t *testing.T, d report.Diff) any {
	t.Helper()
	data, err := d.JSON()
	if err != nil {
		t.Fatal(err)
	}
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	return value
}

func TestSchemaDescribesReports(t *testing.T) {
	t.Parallel()
	clusterWide := report.NewDiff(desired.ModeObserve, desired.Revision{Ref: "worktree"}, diff.Result{Findings: []diff.Finding{
		{Plane: diff.PlaneGit, Kind: diff.ClusterMismatch, Severity: diff.Critical}}},
		plan.Plan{Holds: []plan.Hold{{Reason: plan.ClusterMismatch}}}, nil)
	for name, d := range map[string]report.Diff{
		"examples":         example(t).diff(),
		"mixed":            mixed(t).diff(),
		"every member set": full(t),
		"empty":            report.NewDiff("", desired.Revision{}, diff.Result{}, plan.Plan{}, nil),
		"cluster-wide":     clusterWide,
	} {
		if err := schema(t).Validate(decode(t, d)); err != nil {
			t.Errorf("%s: %s", name, head(err.Error()))
		}
	}
}

// TestSchemaIsStrict takes each member of each object away, and adds one: the schema
// must notice, but for what a report may lack.
func TestSchemaIsStrict(t *testing.T) {
	t.Parallel()
	root, s := decode(t, full(t)), schema(t)
	met := map[string]bool{}
	var visit func(path string, value any)
	visit = func(path string, value any) {
		switch value := value.(type) {
		case []any:
			seen := map[string]bool{}
			for _, one := range value {
				label := path + label(one)
				if !seen[label] { // the first of each sort stands for all
					seen[label] = true
					visit(label, one)
				}
			}
		case map[string]any:
			met[path] = true
			if !strings.HasSuffix(path, ".tags") {
				value["surplus"] = "x"
				if s.Validate(root) == nil {
					t.Errorf("%s: a member that is not ours passes", path)
				}
				delete(value, "surplus")
			}
			for _, key := range slices.Sorted(maps.Keys(value)) {
				member := value[key]
				delete(value, key)
				lacks, may := s.Validate(root) == nil, slices.Contains(optional[path], key)
				if value[key] = member; lacks != may {
					t.Errorf("%s without %q: valid %t, want %t", path, key, lacks, may)
				}
				visit(strings.TrimPrefix(path+"."+key, "."), member)
			}
		}
	}
	visit("", root)
	for path := range optional {
		if !met[path] {
			t.Errorf("the full report has no object %s", path)
		}
	}
}

// label tells steps and guards of different shape apart.
func label(value any) string {
	if m, ok := value.(map[string]any); ok {
		for _, shape := range [][2]string{{"action", "with"}, {"kind", "is"}} {
			if m[shape[1]] != nil {
				return fmt.Sprintf("[%s]", m[shape[0]])
			}
		}
	}
	return ""
}

// TestSchemaRefusesUnknownWords changes each word of a closed list.
func TestSchemaRefusesUnknownWords(t *testing.T) {
	t.Parallel()
	s := schema(t)
	for _, tt := range []struct{ list, key string }{
		{"findings", "plane"}, {"findings", "kind"}, {"findings", "severity"},
		{"mappings", "declared"}, {"mappings", "wanted"}, {"mappings", "on"}, {"mappings", "class"}, {"mappings", "pods"}, {"mappings", "role"}, {"mappings", "unknown"},
		{"steps", "id"}, {"steps", "subject"}, {"steps", "plane"}, {"steps", "effect"}, {"steps", "action"},
		{"left", "subject"}, {"left", "plane"}, {"left", "reason"}, {"left", "notBefore"},
		{"gaps", "source"}, {"gaps", "reason"},
	} {
		root := decode(t, full(t))
		root.(map[string]any)[tt.list].([]any)[0].(map[string]any)[tt.key] = "Bogus"
		if s.Validate(root) == nil {
			t.Errorf("%s[0].%s \"Bogus\" passes", tt.list, tt.key)
		}
	}
}

// TestSchemaLists compares the schema's closed lists with the code's.
func TestSchemaLists(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile(schemaFile)
	if err != nil {
		t.Fatal(err)
	}
	type list struct {
		Enum []string `json:"enum"`
	}
	var got struct {
		Defs struct {
			Kind, Reason, Plane list
			Step                struct{ Properties struct{ Action list } }
			Guard               struct{ Properties struct{ Kind list } }
		} `json:"$defs"`
	}
	if err := json.Unmarshal(data, &got); err != nil {
		t.Fatal(err)
	}
	var planes, actions, guards []string
	for _, kind := range diff.Kinds() {
		planes = append(planes, string(kind.Plane()))
	}
	for _, s := range full(t).Steps {
		actions = append(actions, s.Action.Kind())
		for _, g := range s.Guards {
			guards = append(guards, g.Kind())
		}
	}
	for _, tt := range []struct {
		name      string
		got, want []string
	}{
		{"kinds", got.Defs.Kind.Enum, words(diff.Kinds())},
		{"reasons", got.Defs.Reason.Enum, words(plan.Reasons())},
		{"planes", got.Defs.Plane.Enum, slices.Compact(planes)},
		{"actions", got.Defs.Step.Properties.Action.Enum, actions},
		{"guards", got.Defs.Guard.Properties.Kind.Enum, guards},
	} {
		if diff := cmp.Diff(tt.want, tt.got); diff != "" {
			t.Errorf("%s (-code +schema)\n%s", tt.name, diff)
		}
	}
}

func words[T ~string](list []T) []string {
	out := make([]string, len(list))
	for i, w := range list {
		out[i] = string(w)
	}
	return out
}
