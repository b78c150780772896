package live_test

import (
	"bytes"
	"encoding"
	"encoding/json"
	"flag"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"gopkg.in/yaml.v3"

	"github.com/lanyard-io/lanyard/examples"
	"github.com/lanyard-io/lanyard/internal/identity"
	_ "github.com/lanyard-io/lanyard/internal/testkit" // -update
	"github.com/lanyard-io/lanyard/sync/live"
)

const schemaFile = "../../docs/schemas/snapshot.json"

// TestSchema writes the JSON Schema of a snapshot from the type of [live.Facts] and
// its comments, and compares it with the one in docs.
func TestSchema(t *testing.T) {
	t.Parallel()
	got := generate(t)
	if flag.Lookup("update").Value.String() == "true" {
		if err := os.WriteFile(schemaFile, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(schemaFile)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(strings.Split(string(want), "\n"), strings.Split(string(got), "\n")); diff != "" {
		t.Errorf("%s is not that of the code (-file +code); rewrite it with go test -update and review it\n%s", schemaFile, diff)
	}
}

// member is one member of a JSON object; an object keeps their order.
type member struct {
	key   string
	value any
}
type object []member

// MarshalJSON writes the members in order.
func (o object) MarshalJSON() ([]byte, error) {
	var out bytes.Buffer
	for i, m := range o {
		out.WriteByte("{,"[min(i, 1)])
		key, err := json.Marshal(m.key)
		if err != nil {
			return nil, err
		}
		value, err := json.Marshal(m.value)
		if err != nil {
			return nil, err
		}
		out.Write(append(append(key, ':'), value...))
	}
	out.WriteByte('}')
	return out.Bytes(), nil
}

// generator makes schemas of types; named ones go to defs.
type generator struct {
	defs     map[string]object
	comments map[string]string // of a type, or of "Type.Field"
}

func generate(t *testing.T) []byte {
	t.Helper()
	g := generator{defs: map[string]object{}, comments: comments(t)}
	root := g.structure(reflect.TypeFor[live.Facts]())
	root = append(object{
		{"$id", "https://lanyard.io/schema/snapshot.json"},
		{"$schema", "https://json-schema.org/draft/2020-12/schema"},
		{"title", "lanyard snapshot"},
	}, root...)
	var defs object
	for _, name := range slices.Sorted(maps.Keys(g.defs)) {
		defs = append(defs, member{name, g.defs[name]})
	}
	root = append(root, member{"$defs", defs})
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(root); err != nil {
		t.Fatal(err)
	}
	return bytes.ReplaceAll(bytes.ReplaceAll(out.Bytes(), []byte(`\u003c`), []byte("<")), []byte(`\u003e`), []byte(">"))
}

// words are the types whose values are a closed list.
var words = map[reflect.Type][]any{
	reflect.TypeFor[live.Presence]():   {live.Unknown, live.Present, live.Absent},
	reflect.TypeFor[live.GapReason]():  {live.GapRefused, live.GapThrottled, live.GapTruncated, live.GapFailed, live.GapUnconfigured},
	reflect.TypeFor[live.Credential](): {live.CredentialPodIdentity, live.CredentialIRSA, live.CredentialBoth, live.CredentialStatic, live.CredentialProfile, live.CredentialBroken, live.CredentialNone},
	reflect.TypeFor[live.Trouble]():    {live.TroubleNone, live.TroubleNode, live.TroubleUnschedulable, live.TroubleImage, live.TroubleConfig, live.TroubleCrash},
	reflect.TypeFor[live.Proxy]():      {live.ProxyNone, live.ProxyExempt, live.ProxyUnexempted, live.ProxyUnseen},
}

func (g generator) schema(t reflect.Type) object {
	ref := func(make func() object) object {
		name := strings.ToLower(t.Name()[:1]) + t.Name()[1:]
		if strings.HasPrefix(t.Name(), "OIDC") {
			name = "oidc" + strings.TrimPrefix(t.Name(), "OIDC")
		}
		if g.defs[name] == nil {
			g.defs[name] = object{} // a type may hold itself
			g.defs[name] = make()
		}
		return object{{"$ref", "#/$defs/" + name}}
	}
	switch {
	case t == reflect.TypeFor[time.Time]():
		return object{{"type", "string"}, {"format", "date-time"}}
	case t == reflect.TypeFor[identity.RoleARN]():
		return ref(func() object {
			return object{{"type", "string"}, {"pattern", "^arn:aws(-[a-z0-9]+)*:iam::[0-9]{12}:role/([!-~]{1,510}/)?[A-Za-z0-9+=,.@_-]{1,64}$"}}
		})
	case t == reflect.TypeFor[live.Source]():
		return ref(func() object { return object{g.describe(t.Name()), {"enum", reads}} })
	case words[t] != nil:
		return ref(func() object { return object{g.describe(t.Name()), {"enum", words[t]}} })
	}
	if _, special := reflect.New(t).Interface().(encoding.TextUnmarshaler); special {
		panic("no schema for " + t.String())
	}
	switch t.Kind() {
	case reflect.Struct:
		return ref(func() object { return g.structure(t) })
	case reflect.Slice: // an empty list may be written as null
		return object{{"type", []string{"array", "null"}}, {"items", g.schema(t.Elem())}}
	case reflect.Map:
		return object{{"type", []string{"object", "null"}}, {"additionalProperties", g.schema(t.Elem())}}
	case reflect.Bool:
		return object{{"type", "boolean"}}
	case reflect.Int:
		return object{{"type", "integer"}}
	case reflect.String:
		return object{{"type", "string"}}
	}
	panic("no schema for " + t.String())
}

// structure is the schema of an object: strict, with what is always written required.
func (g generator) structure(t reflect.Type) object {
	var properties object
	var required []string
	for i := range t.NumField() {
		field := t.Field(i)
		name, options, _ := strings.Cut(field.Tag.Get("json"), ",")
		if options == "" {
			required = append(required, name)
		}
		s := g.schema(field.Type)
		switch field.Name {
		case "APIVersion":
			s = object{{"const", live.APIVersion}}
		case "Kind":
			if t == reflect.TypeFor[live.Facts]() {
				s = object{{"const", live.Kind}}
			}
		}
		if d := g.describe(t.Name() + "." + field.Name); d.value != "" {
			s = append(object{d}, s...)
		}
		properties = append(properties, member{name, s})
	}
	out := object{g.describe(t.Name()), {"type", "object"}, {"additionalProperties", false}}
	if required != nil {
		out = append(out, member{"required", required})
	}
	return append(out, member{"properties", properties})
}

func (g generator) describe(what string) member { return member{"description", g.comments[what]} }

var (
	linkRE   = regexp.MustCompile(`\[([A-Za-z.]+)\]`)
	sourceRE = regexp.MustCompile(`(?s) *Source: https.*`)
)

// comments reads what the code says of its types and their fields.
func comments(t *testing.T) map[string]string {
	t.Helper()
	out := map[string]string{}
	for _, name := range []string{"facts.go", "presence.go"} {
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		for _, decl := range file.Decls {
			gen, ok := decl.(*ast.GenDecl)
			if !ok || gen.Tok != token.TYPE {
				continue
			}
			spec := gen.Specs[0].(*ast.TypeSpec)
			out[spec.Name.Name] = plain(gen.Doc.Text())
			if st, ok := spec.Type.(*ast.StructType); ok {
				for _, field := range st.Fields.List {
					out[spec.Name.Name+"."+field.Names[0].Name] = plain(field.Comment.Text())
				}
			}
		}
	}
	return out
}

func plain(comment string) string {
	comment = sourceRE.ReplaceAllString(strings.Join(strings.Fields(comment), " "), "")
	return linkRE.ReplaceAllString(comment, "$1")
}

func compile(t *testing.T) *jsonschema.Schema {
	t.Helper()
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	s, err := c.Compile(schemaFile)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestSchemaDescribesTheExample: the file itself is valid, not only what was read of it.
func TestSchemaDescribesTheExample(t *testing.T) {
	t.Parallel()
	var doc any
	if err := yaml.Unmarshal(examples.Live, &doc); err != nil {
		t.Fatal(err)
	}
	data, err := json.Marshal(doc)
	if err != nil {
		t.Fatal(err)
	}
	instance, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	if err := compile(t).Validate(instance); err != nil {
		t.Errorf("examples/live.yaml: %v", err)
	}
}

// TestSchemaAndDecodeAgree takes each member of a full snapshot away, adds one, and puts
// something else in its place: the schema accepts what Decode does, and nothing else.
func TestSchemaAndDecodeAgree(t *testing.T) {
	t.Parallel()
	var f live.Facts
	filler{count: func(n int) int { return n - 1 }, items: func() int { return 1 }, text: func() string { return "a" }}.fill(reflect.ValueOf(&f).Elem())
	data, err := f.EncodeJSON()
	if err != nil {
		t.Fatal(err)
	}
	var root map[string]any
	if err := json.Unmarshal(data, &root); err != nil {
		t.Fatal(err)
	}
	s, tried := compile(t), 0
	judge := func(path, change string) {
		tried++
		data, err := json.Marshal(root)
		if err != nil {
			t.Fatal(err)
		}
		instance, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
		if err != nil {
			t.Fatal(err)
		}
		bySchema := s.Validate(instance)
		if _, byDecode := live.DecodeFacts(data); (bySchema == nil) != (byDecode == nil) {
			t.Errorf("%s %s: the schema says %v, Decode says %v", path, change, bySchema, byDecode)
		}
	}
	judge("the full snapshot", "as it is")
	others := []any{"Bogus", 1.0, 1.5, true, nil, map[string]any{}, []any{}, []any{nil}}
	var visit func(path string, value any)
	visit = func(path string, value any) {
		switch value := value.(type) {
		case []any:
			visit(path+"[0]", value[0])
		case map[string]any:
			value["surplus"] = "x"
			judge(path, "with a surplus member")
			delete(value, "surplus")
			for _, key := range slices.Sorted(maps.Keys(value)) {
				was := value[key]
				delete(value, key)
				judge(path+"."+key, "taken away")
				for _, other := range others {
					value[key] = other
					judge(path+"."+key, "replaced")
				}
				value[key] = was
				visit(path+"."+key, was)
			}
		}
	}
	visit("", root)
	if tried < 1000 {
		t.Errorf("only %d changes were tried", tried)
	}
}

// TestNothingSecret compares every text that a snapshot can hold with a reviewed list:
// a new one is added here by somebody who has asked what it may carry. None holds a
// key, a token, or a value of a container's environment besides the role's ARN.
func TestNothingSecret(t *testing.T) {
	t.Parallel()
	var got []string
	var visit func(path string, t reflect.Type)
	visit = func(path string, t reflect.Type) {
		switch {
		case t == reflect.TypeFor[time.Time](), t == reflect.TypeFor[identity.RoleARN](), words[t] != nil, t == reflect.TypeFor[live.Source]():
			return // a date, an ARN, a word of a closed list
		case t.Kind() == reflect.Struct:
			for i := range t.NumField() {
				visit(path+"."+t.Field(i).Name, t.Field(i).Type)
			}
		case t.Kind() == reflect.Slice:
			visit(path, t.Elem())
		case t.Kind() == reflect.Map, t.Kind() == reflect.String:
			got = append(got, strings.TrimPrefix(path, "."))
		}
	}
	visit("", reflect.TypeFor[live.Facts]())
	if diff := cmp.Diff(strings.Fields(reviewed), got); diff != "" {
		t.Errorf("texts of a snapshot (-reviewed +code); review the new ones, then add them\n%s", diff)
	}
}

const reviewed = `
APIVersion Kind
Cluster.Name Cluster.ARN Cluster.Issuer Cluster.APIServerIssuer Cluster.Version Cluster.Status Cluster.Caller
GuardRails.Mode GuardRails.Allow.Namespaces GuardRails.Allow.Roles GuardRails.Protect GuardRails.Prune
GuardRails.OrganizationID
Namespaces.Name Namespaces.Pause
ServiceAccounts.Namespace ServiceAccounts.Name ServiceAccounts.UID ServiceAccounts.ResourceVersion
ServiceAccounts.Annotations ServiceAccounts.Managers.Annotation ServiceAccounts.Managers.Manager
ServiceAccounts.Managers.Operation ServiceAccounts.Tool
Workloads.Namespace Workloads.Kind Workloads.Name Workloads.UID Workloads.ServiceAccount
Workloads.RestartedAt Workloads.PausedBy Workloads.Owner.Kind
Workloads.Owner.Name Workloads.PodLabels Workloads.NodeSelector
Workloads.NodeAffinity.Labels.Key Workloads.NodeAffinity.Labels.Operator Workloads.NodeAffinity.Labels.Values
Workloads.NodeAffinity.Fields.Key Workloads.NodeAffinity.Fields.Operator Workloads.NodeAffinity.Fields.Values
Workloads.Tolerations.Key Workloads.Tolerations.Operator Workloads.Tolerations.Value Workloads.Tolerations.Effect
Workloads.OS Workloads.Scheduler Workloads.Strategy.Type Workloads.Strategy.MaxUnavailable Workloads.Strategy.MaxSurge
Workloads.Containers.Name Workloads.Containers.Image Workloads.Containers.Variables Workloads.TokenConflict
Workloads.SecretClasses Workloads.Claims
Pods.Namespace Pods.Name Pods.UID Pods.ServiceAccount Pods.Node Pods.Owner.Kind Pods.Owner.Name Pods.Phase
Pods.Labels Pods.Containers.Name Pods.Containers.Role Pods.Containers.Audience Pods.Containers.Why
Nodes.Name Nodes.ComputeType Nodes.OS Nodes.Labels Nodes.Taints.Key Nodes.Taints.Value Nodes.Taints.Effect
Webhook.FailurePolicy
Budgets.Namespace Budgets.Name Budgets.Selector.Labels Budgets.Selector.Requirements.Key
Budgets.Selector.Requirements.Operator Budgets.Selector.Requirements.Values
NetworkPolicies.Namespace NetworkPolicies.Name NetworkPolicies.Selector.Labels NetworkPolicies.Selector.Requirements.Key
NetworkPolicies.Selector.Requirements.Operator NetworkPolicies.Selector.Requirements.Values
Readers.Kind Readers.Namespace Readers.Name Readers.Field Readers.ServiceAccount Readers.Claim Readers.Scaled.Kind Readers.Scaled.Name
Associations.Namespace Associations.ServiceAccount Associations.ID Associations.ARN Associations.OwnerARN
Associations.ExternalID Associations.SessionPolicy Associations.Tags
Addons.Name Addons.Version Addons.Status Addons.ServiceAccountRole Addons.Associations
FargateProfiles.Name FargateProfiles.Status FargateProfiles.Selectors.Namespace
FargateProfiles.Selectors.Labels
NodeGroups.Name
Accounts.ID
Roles.TrustPolicy Roles.Tags Roles.Boundary Roles.LastUsedRegion Roles.Policies.Name Roles.Policies.ARN Roles.Policies.Statements.Sid
Roles.Policies.Statements.Actions Roles.Policies.Statements.Resources Roles.Policies.Statements.Conditions.Operator
Roles.Policies.Statements.Conditions.Key Roles.Policies.Statements.Conditions.Values Roles.Policies.Everywhere
Providers.ARN Providers.Account Providers.URL Providers.ClientIDs
Gaps.Scope Gaps.Message
`
