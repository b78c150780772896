package live_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/lanyard-io/lanyard/examples"
	"github.com/lanyard-io/lanyard/internal/identity"
	"github.com/lanyard-io/lanyard/sync/live"
)

// head begins a snapshot file; a body follows.
const head = `apiVersion: lanyard.io/v1alpha1
kind: Snapshot
takenAt: "2026-11-23T09:00:00Z"
cluster: {name: irsa-lab, arn: "arn:aws:eks:eu-west-1:123456789012:cluster/irsa-lab", issuer: "https://oidc.example/id/EXAMPLE"}
`

// jsonHead is the same in JSON, to be closed by a body and a brace.
const jsonHead = `{"apiVersion":"lanyard.io/v1alpha1","kind":"Snapshot","takenAt":"2026-11-23T09:00:00Z",
"cluster":{"name":"irsa-lab","arn":"arn:aws:eks:eu-west-1:123456789012:cluster/irsa-lab","issuer":"https://oidc.example/id/EXAMPLE"}`

// TestDecodeIsStrict: every mistake is an error that says where it is and what to do.
func TestDecodeIsStrict(t *testing.T) {
	t.Parallel()
	deep := strings.Repeat("[", 200) + strings.Repeat("]", 200)
	for _, tt := range []struct{ name, in, want string }{
		{"nothing", "", "it is empty: take one with `lanyard snapshot`"},
		{"spaces", " \n\t\n", "it is empty: take one"},
		{"comments", "# nothing\n", "it is empty: take one"},
		{"a word", "hello", "no document of kind Snapshot: take one with `lanyard snapshot`"},
		{"a list", "- a\n", "no document of kind Snapshot"},
		{"null", "---\n", "no document of kind Snapshot"},
		{"no head", "{}", `it is "" "", not lanyard.io/v1alpha1 Snapshot: take one`},
		{"a head of numbers", `{"apiVersion": 1, "kind": {}}`, `it is "" "", not`},
		{"another kind", strings.Replace(head, "Snapshot", "IdentityMapping", 1), `"IdentityMapping", not lanyard.io/v1alpha1 Snapshot`},
		{"another version", strings.Replace(head, "v1alpha1", "v1", 1), `it is "lanyard.io/v1" "Snapshot", not`},
		{"a Deployment", "apiVersion: apps/v1\nkind: Deployment\nspec: {}\n", `it is "apps/v1" "Deployment", not`},
		{"unknown key", head + "pod: []\n", "pod: unknown key: leave it out, or read the file with the release that wrote it"},
		{"unknown key, JSON", jsonHead + `,"pod":[]}`, "pod: unknown key"},
		{"key in other case", jsonHead + `,"Pods":[]}`, "Pods: unknown key"},
		{"unknown key far down", head + "nodes: [{name: a}, {name: b, compute: ec2}]\n", "nodes[1].compute: unknown key"},
		{"missing key", head + "nodes: [{os: linux}]\n", "nodes[0].name: the key is missing"},
		{"no time", strings.Replace(head, "takenAt:", "#", 1), "takenAt: the key is missing"},
		{"no value", head + "webhook: {present: }\n", "webhook.present: there is no value"},
		{"an empty item", head + "nodes:\n  -\n", "nodes[0]: there is no value"},
		{"key twice", head + "nodes: []\nnodes: []\n", `line 6: key "nodes" stands twice: leave one`},
		{"key twice, JSON", jsonHead + `,"nodes":[],"nodes":[]}`, "nodes: the key stands twice: leave one"},
		{"annotation twice, JSON", jsonHead + `,"serviceAccounts":[{"namespace":"a","name":"b","annotations":{"x":"1","x":"2"}}]}`, "serviceAccounts[0].annotations.x: the key stands twice"},
		{"a list as key", head + "? [a]\n: b\n", "a key must be a plain text"},
		{"two documents", head + "---\n" + head, "a second YAML document follows: one file holds one snapshot"},
		{"two documents, JSON", jsonHead + "}" + jsonHead + "}", "something follows the snapshot: one file holds one"},
		{"more after it", jsonHead + "} x", "something follows the snapshot"},
		{"alias", head + "nodes: [&a {name: x}, *a]\n", "line 5: aliases are not allowed in a snapshot: write the value out"},
		{"merge", head + "nodes: [{<<: {name: x}}]\n", "nodes[0].<<: unknown key"},
		{"tag", head + "nodes: [{name: !!binary aGk=}]\n", "tag !!binary is not allowed"},
		{"own tag", head + "nodes: [{name: !secret x}]\n", "tag !secret is not allowed"},
		{"depth", head + "nodes: " + deep + "\n", "nested deeper than 64"},
		{"depth, JSON", jsonHead + `,"nodes":` + deep + "}", "a list is not what stands here"},
		{"no number", head + "workloads: [{namespace: a, kind: Job, name: b, serviceAccount: c, replicas: .nan}]\n", `".nan" is no number`},
		{"half a pod", head + "workloads: [{namespace: a, kind: Job, name: b, serviceAccount: c, replicas: 1.5}]\n", "workloads.replicas: a number 1.5 is not what stands here (a whole number is)"},
		{"text for a number", head + "accounts: [{id: a, roles: many}]\n", "accounts.roles: a string is not what stands here (a whole number is)"},
		{"number for a text", head + "nodes: [{name: 1}]\n", "nodes.name: a number is not what stands here (a string is)"},
		{"object for a list", head + "nodes: {name: a}\n", "nodes: an object is not what stands here"},
		{"object for a text", head + "nodes: [{name: {a: b}}]\n", "nodes[0].name: an object is not what stands here"},
		{"object for a role", head + "roles: [{arn: {a: b}, presence: present}]\n", "roles[0].arn: an object is not what stands here"},
		{"list for a text", head + "nodes: [{name: [a]}]\n", "nodes[0].name: a list is not what stands here (a string is)"},
		{"list for an object", head + "webhook: [a]\n", "webhook: a list is not what stands here (an object is)"},
		{"text for an object", head + "webhook: a\n", "webhook: a string is not what stands here (an object is)"},
		{"a time of day", head + "nodes: [{name: a, createdAt: noon}]\n", "nodes[0].createdAt: parsing time"},
		{"a date", head + "nodes: [{name: a, createdAt: 2026-11-23}]\n", "nodes[0].createdAt: parsing time"},
		{"a role name", head + "roles: [{arn: reader, presence: present}]\n", "roles[0].arn: "},
		{"presence", head + "roles: [{arn: 'arn:aws:iam::123456789012:role/r', presence: here}]\n", `roles[0].presence: presence "here" is none of unknown, present, absent`},
		{"a gap of nothing", head + "gaps: [{source: 'kubernetes:pod', reason: refused}]\n", `gaps[0].source: source "kubernetes:pod" is none of kubernetes:serviceaccounts`},
		{"a gap without cause", head + "gaps: [{source: 'kubernetes:pods', reason: busy}]\n", `gaps[0].reason: reason "busy" is none of refused throttled truncated`},
		{"credential", head + "pods: [{namespace: a, name: b, serviceAccount: c, createdAt: 2026-11-23T09:00:00Z, phase: Running, containers: [{name: d, credential: IRSA}]}]\n",
			`pods[0].containers[0].credential: credential "IRSA" is none of pod-identity irsa`},
		{"trouble", head + "pods: [{namespace: a, name: b, serviceAccount: c, createdAt: 2026-11-23T09:00:00Z, phase: Running, trouble: ill, containers: []}]\n",
			`pods[0].trouble: trouble "ill" is none of  node unschedulable`},
		{"cut short, JSON", jsonHead + `,"nodes":[{"name":"a"`, "it ends in the middle: take it again"},
		{"cut short in a word, JSON", jsonHead + `,"nodes":[{"na`, "it ends in the middle: take it again"},
		{"broken YAML", head + "nodes: [\n", "line "},
		{"two nodes", head + "nodes: [{name: a}, {name: a}]\n", "two entries for node a"},
		{"another cluster's ARN", strings.Replace(head, "cluster/irsa-lab", "cluster/prod", 1), `named "irsa-lab", but its ARN says "prod"`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s, err := live.Decode([]byte(tt.in))
			if err == nil || s != nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("Decode(%.300q) = %v, error %v\nwant an error with %q", tt.in, s, err, tt.want)
			}
		})
	}
}

// TestDecodeTakes what looks odd and is right.
func TestDecodeTakes(t *testing.T) {
	t.Parallel()
	for name, in := range map[string]string{
		"YAML":                 head,
		"JSON":                 jsonHead + "}",
		"JSON with spaces":     "\n\t" + jsonHead + "}\n\n",
		"a byte order mark":    "\ufeff" + head,
		"carriage returns":     strings.ReplaceAll(head, "\n", "\r\n"),
		"a document mark":      "---\n" + head,
		"an empty list":        head + "nodes:\n",
		"a time without quote": strings.ReplaceAll(head, `"2026-11-23T09:00:00Z"`, "2026-11-23T09:00:00Z"),
		"the head last":        strings.Replace(jsonHead, `"apiVersion":"lanyard.io/v1alpha1","kind":"Snapshot",`, "", 1) + `,"kind":"Snapshot","apiVersion":"lanyard.io/v1alpha1"}`,
		"an unused anchor":     head + "nodes: [&a {name: x}]\n",
	} {
		if _, err := live.Decode([]byte(in)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestDecodeIsBounded: a file over the limit is refused before it is read.
func TestDecodeIsBounded(t *testing.T) {
	t.Parallel()
	_, err := live.Decode(make([]byte, live.MaxFile+1)) // zero pages, never touched
	if err == nil || !strings.Contains(err.Error(), "are more than") {
		t.Errorf("Decode of %d bytes: %v", live.MaxFile+1, err)
	}
}

// TestExampleRoundTrip: the example reads back as the same from both forms, and a
// second writing is the same to the byte.
func TestExampleRoundTrip(t *testing.T) {
	t.Parallel()
	f, err := live.DecodeFacts(examples.Live)
	if err != nil {
		t.Fatal(err)
	}
	roundTrip(t, f)
	y, err := f.EncodeYAML()
	if err != nil {
		t.Fatal(err)
	}
	_, body, _ := bytes.Cut(examples.Live, []byte("apiVersion:"))
	if diff := cmp.Diff(strings.Split("apiVersion:"+string(body), "\n"), strings.Split(string(y), "\n")); diff != "" {
		t.Errorf("examples/live.yaml is not as lanyard snapshot writes it (-file +written)\n%s", diff)
	}
}

// roundTrip writes facts in both forms and reads them back.
func roundTrip(t testing.TB, f live.Facts) {
	t.Helper()
	f.APIVersion, f.Kind = live.APIVersion, live.Kind
	for form, encode := range map[string]func(live.Facts) ([]byte, error){"JSON": live.Facts.EncodeJSON, "YAML": live.Facts.EncodeYAML} {
		text, err := encode(f)
		if err != nil {
			t.Fatalf("%s: %v", form, err)
		}
		back, err := live.DecodeFacts(text)
		if err != nil {
			t.Fatalf("%s: %v\n%.2000s", form, err, text)
		}
		if diff := cmp.Diff(f, back, cmpopts.EquateEmpty()); diff != "" {
			t.Fatalf("%s reads back as something else (-facts +back)\n%.2000s", form, diff)
		}
		again, err := encode(back)
		if err != nil || !bytes.Equal(text, again) {
			t.Fatalf("%s is written differently the second time (%v)", form, err)
		}
	}
}

// TestGeneratedRoundTrip does the same for facts filled at random, with texts that
// JSON and YAML treat differently.
func TestGeneratedRoundTrip(t *testing.T) {
	t.Parallel()
	for seed := range uint64(200) {
		f := live.Facts{}
		randomly(seed).fill(reflect.ValueOf(&f).Elem())
		if t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) { roundTrip(t, f) }); t.Failed() {
			return
		}
	}
}

var texts = []string{
	"a", "", " ", "yes", "No", "on", "y", "null", "~", "1", "1.0", "1e3", "0o7", "0x1F", "1:20", "2026-11-23", "2026-11-23T09:00:00Z", ".inf",
	"a: b", "- a", "# a", "a # b", "&a", "*a", "!a", "%a", "@a", "`a`", "{a", "[a", "'", `"`, `\`, "|", ">", "?", "<<", "=",
	"two\nlines", "two\nlines\n", "three\n\n\n", "\n", "\nbefore", " indented\nblock", "\tindented\nblock", "trailing \nspace", "tab\tin\nblock",
	"carriage\r\nreturn", "lone\rreturn", "next\u0085line", "line\u2028separator\nx", "bom\ufeff", "\ufeffbom\nx", "delete\x7f", "c1\u0090", "bell\a", "nul\x00", "é\nü", "日本", "𝄞", "<&>",
	"{\n  \"Version\": \"2012-10-17\"\n}\n", strings.Repeat("long ", 300), strings.Repeat("k", 2000),
}

// filler fills facts of any shape with the values it is given.
type filler struct {
	count func(max int) int // 0 to max-1
	items func() int        // in a list or map
	text  func() string
}

func randomly(seed uint64) filler {
	r := rand.New(rand.NewPCG(seed, 0))
	return filler{
		count: r.IntN,
		items: func() int { return r.IntN(3) },
		text:  func() string { return texts[r.IntN(len(texts))] },
	}
}

// fill sets every field of v.
func (f filler) fill(v reflect.Value) {
	switch v.Interface().(type) {
	case time.Time:
		v.Set(reflect.ValueOf(time.Date(2026, 11, 23, 9, f.count(60), f.count(60), f.count(2)*f.count(1e9), time.UTC)))
		return
	case identity.RoleARN:
		v.Set(reflect.ValueOf(identity.RoleARN{Partition: "aws", Account: account, Path: "/team/", Name: fmt.Sprint("r", f.count(9))}))
		return
	case live.Presence:
		v.SetUint(uint64(f.count(3)))
		return
	case live.Source:
		v.SetString(string(reads[f.count(len(reads))]))
		return
	case live.GapReason:
		v.SetString(string(live.GapRefused))
		return
	case live.Credential:
		v.SetString(string(live.CredentialBroken))
		return
	case live.Proxy:
		v.SetString(string(live.ProxyUnexempted))
		return
	case live.Trouble:
		v.SetString(string(live.TroubleCrash))
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			f.fill(v.Field(i))
		}
	case reflect.Slice:
		n := f.items()
		v.Set(reflect.MakeSlice(v.Type(), n, n))
		for i := range n {
			f.fill(v.Index(i))
		}
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		for range f.items() {
			v.SetMapIndex(reflect.ValueOf(f.text()), reflect.ValueOf(f.text()))
		}
	case reflect.String:
		v.SetString(f.text())
	case reflect.Bool:
		v.SetBool(f.count(2) == 1)
	case reflect.Int:
		v.SetInt(int64(f.count(1 << 30)))
	default:
		panic("no value for " + v.Type().String())
	}
}

// TestTimes: an instant survives, to the nanosecond and whatever its zone.
func TestTimes(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"2026-11-23T09:00:00Z":            "2026-11-23T09:00:00Z",
		"2026-11-23T10:00:00+01:00":       "2026-11-23T09:00:00Z",
		"2026-11-23T09:00:00.123456789Z":  "2026-11-23T09:00:00.123456789Z",
		"0001-01-01T00:00:00Z":            "0001-01-01T00:00:00Z",
		"2026-11-23T09:00:00.5-08:00":     "2026-11-23T17:00:00.5Z",
		"9999-12-31T23:59:59.999999999Z":  "9999-12-31T23:59:59.999999999Z",
		"1969-12-31T23:59:59.000000001Z":  "1969-12-31T23:59:59.000000001Z",
		"2024-02-29T12:00:00.10-00:30":    "2024-02-29T12:30:00.1Z",
		"2026-11-23T09:00:00.0000000000Z": "2026-11-23T09:00:00Z",
	} {
		f, err := live.DecodeFacts([]byte(strings.Replace(head, "2026-11-23T09:00:00Z", in, 1)))
		if err != nil {
			t.Errorf("%s: %v", in, err)
			continue
		}
		if got := f.TakenAt.UTC().Format(time.RFC3339Nano); got != want {
			t.Errorf("%s is read as %s, want %s", in, got, want)
		}
		roundTrip(t, f)
	}
	for _, bad := range []string{"2026-11-23", "2026-13-01T00:00:00Z", "2026-11-23 09:00:00Z", "1763888400", ""} {
		if f, err := live.DecodeFacts([]byte(strings.Replace(head, "2026-11-23T09:00:00Z", bad, 1))); err == nil {
			t.Errorf("%q is read as %s", bad, f.TakenAt)
		}
	}
	f := base()
	f.TakenAt = time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)
	if _, err := f.EncodeYAML(); err == nil {
		t.Error("the year 10000 is written")
	}
}

// TestYAMLBlocks: a document of several lines can be read in the file as it is.
func TestYAMLBlocks(t *testing.T) {
	t.Parallel()
	f := inhabited()
	f.Roles[0].TrustPolicy = "{\n  \"Version\": \"2012-10-17\"\n}\n"
	f.Nodes[0].OS = "yes"
	f.Nodes[0].ComputeType = "a\u2028b\nc"
	got, err := f.EncodeYAML()
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"    trustPolicy: |\n      {\n        \"Version\": \"2012-10-17\"\n      }\n",
		"    computeType: \"a\\Lb\\nc\"\n",
		"    os: \"yes\"\n", // YAML 1.1 reads a bare yes as true
		"apiVersion: lanyard.io/v1alpha1\nkind: Snapshot\ntakenAt: \"0001-01-01T00:00:00Z\"\ncluster:\n  name: irsa-lab\n",
	} {
		if !strings.Contains(string(got), want) {
			t.Errorf("written\n%s\nlacks\n%s", got, want)
		}
	}
}

// TestToYAML turns any JSON, not only a snapshot's.
func TestToYAML(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		`null`:                          "null\n",
		`"a"`:                           "a\n",
		`[]`:                            "[]\n",
		`{}`:                            "{}\n",
		`[1,-2.5,1e3]`:                  "- 1\n- -2.5\n- 1e3\n",
		`[true,null,"1"]`:               "- true\n- null\n- \"1\"\n",
		`{"b":1,"a":{"c":[{"d":"x"}]}}`: "b: 1\na:\n  c:\n    - d: x\n",
		`{"a\nb":"c"}`:                  "? \"a\\nb\"\n: c\n",
	} {
		got, err := live.ToYAML([]byte(in))
		if err != nil || string(got) != want {
			t.Errorf("ToYAML(%s) = %q, %v; want %q", in, got, err, want)
		}
	}
	for _, bad := range []string{"", "{", "[1", `{"a":}`, "a: b", strings.Repeat("[", 100) + strings.Repeat("]", 100)} {
		if got, err := live.ToYAML([]byte(bad)); err == nil {
			t.Errorf("ToYAML(%.20q) = %q; want an error", bad, got)
		}
	}
}
