package test_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	jsonpatch "gopkg.in/evanphx/json-patch.v4"
	"k8s.io/apimachinery/pkg/runtime"
	kjson "k8s.io/apimachinery/pkg/runtime/serializer/json"
	kyaml "k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/yaml"

	"github.com/lanyard-io/lanyard/internal/rights"
)

var update = flag.Bool("update", false, "rewrite what deploy/ and docs/ hold of lanyard policy")

// deploy is where what is deployed lies.
const deploy = "../deploy"

// TestDeployGrants: the files of deploy/ and the tables of docs/permissions.md are what
// `lanyard policy` prints, to the byte.
func TestDeployGrants(t *testing.T) {
	t.Parallel()
	for _, g := range []struct {
		file, mode string
		features   []string
		text       func(rights.Wants) string
	}{
		{"iam/observe.json", "observe", nil, rights.Wants.IAM},
		{"iam/repair.json", "repair", nil, rights.Wants.IAM},
		{"iam/repair-prune.json", "repair", []string{rights.Prune}, rights.Wants.IAM},
		{"iam/repair-cloudtrail.json", "repair", []string{rights.CloudTrail}, rights.Wants.IAM},
		{"iam/migrate.json", "migrate", nil, rights.Wants.IAM},
		{"iam/repair-accounts.json", "repair", []string{rights.Accounts}, rights.Wants.IAM},
		{"iam/other-account-observe.json", "observe", []string{rights.Accounts}, rights.Wants.IAMAway},
		{"iam/other-account-repair.json", "repair", []string{rights.Accounts}, rights.Wants.IAMAway},
		{"iam/trust-pod-identity.json", "observe", nil, rights.Wants.TrustPodIdentity},
		{"iam/trust-irsa.json", "observe", nil, rights.Wants.TrustIRSA},
		{"iam/trust-other-account.json", "observe", []string{rights.Accounts}, rights.Wants.TrustAway},
		{"kubernetes/base/admission.yaml", "repair", nil, rights.Wants.Admission},
		{"kubernetes/components/identity-probe/admission.yaml", "migrate", []string{rights.IdentityProbe}, func(w rights.Wants) string { return w.Place.JobAdmission() }},
		{"kubernetes/overlays/observe/rbac.yaml", "observe", nil, rights.Wants.RBAC},
		{"kubernetes/overlays/repair/rbac.yaml", "repair", nil, rights.Wants.RBAC},
		{"kubernetes/overlays/migrate/rbac.yaml", "migrate", nil, rights.Wants.RBAC},
		{"../docs/permissions.md", "", nil, nil},
	} {
		want := ""
		if g.text == nil {
			want = permissions(t)
		} else {
			place := rights.Place{}
			if strings.HasPrefix(g.file, "iam/other-account-repair") {
				place.Roles = []string{"arn:aws:iam::OTHER_ACCOUNT:role/ROLE_PATTERN"}
			}
			w, err := rights.For(g.mode, g.features, place)
			if err != nil {
				t.Fatal(err)
			}
			want = g.text(w)
		}
		file := filepath.Join(deploy, filepath.FromSlash(g.file))
		if *update {
			if err := os.WriteFile(file, []byte(want), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if got := read(t, file); got != want {
			t.Errorf("%s is not what lanyard policy prints: go test ./test -run TestDeployGrants -update\n%s", g.file, want)
		}
	}
}

// permissions is the page docs/permissions.md.
func permissions(t *testing.T) string {
	t.Helper()
	b := strings.Builder{}
	b.WriteString(`# Permissions

What lanyard needs of AWS and Kubernetes, in each mode, and nothing more: a test holds these tables, ` + "`lanyard policy`" + ` and the files of
` + "`deploy/`" + ` equal to the calls that lanyard makes. Words in capitals are to be replaced; ` + "`lanyard policy`" + ` does that.
` + "`sts:GetCallerIdentity`" + ` is asked for too; everybody may.
`)
	for _, mode := range rights.Modes() {
		w, err := rights.For(mode, nil, rights.Place{})
		if err != nil {
			t.Fatal(err)
		}
		b.WriteString("\n## Mode " + mode + "\n\n" + w.Markdown())
	}
	for _, f := range rights.Features() {
		mode := f.Mode
		if mode == "observe" {
			mode = "repair"
		}
		base, err := rights.For(mode, nil, rights.Place{})
		if err != nil {
			t.Fatal(err)
		}
		known := strings.Split(base.Markdown(), "\n")
		w, err := rights.For(mode, []string{f.Name}, rights.Place{Roles: []string{"arn:aws:iam::ACCOUNT:role/ROLE_PATTERN", "arn:aws:iam::OTHER_ACCOUNT:role/ROLE_PATTERN"}})
		if err != nil {
			t.Fatal(err)
		}
		b.WriteString("\n## Feature " + f.Name + "\n\n" + strings.ToUpper(f.Why[:1]) + f.Why[1:] + ". Besides what the mode needs:\n\n")
		b.WriteString(added(w.Markdown(), known))
	}
	b.WriteString(`
## Feature pullRequests

Reports on pull requests (features: {pullRequests: true}). Nothing of AWS or Kubernetes besides what the mode needs. Of GitHub, a token in
pullRequests.tokenFile that may, on the one repository
([how GitHub names it](https://docs.github.com/en/rest/authentication/permissions-required-for-fine-grained-personal-access-tokens)):

| permission | access | why |
|---|---|---|
| Metadata | read | every fine-grained token has it |
| Pull requests | read and write | list those that are open; list, make, edit and delete lanyard's own comments on them |
| Commit statuses | read and write | read and set the status of heads |

Heads are read by Git, with source.auth: its token needs Contents, read. One token may have all of it, in one file that both name. A classic token
needs scope repo, which reaches much further.
`)
	return b.String()
}

// added keeps of a page the tables' rows that are not known, under their titles.
func added(page string, known []string) string {
	var out []string
	for table := range strings.SplitSeq(strings.TrimSpace(page), "\n\n") {
		rows := strings.Split(table, "\n")
		if len(rows) < 3 { // a title
			out = append(out, table)
			continue
		}
		more := slices.DeleteFunc(slices.Clone(rows[2:]), func(r string) bool {
			return len(out) > 0 && !strings.Contains(out[len(out)-1], "each other") && slices.Contains(known, r)
		})
		if len(more) == 0 {
			out = out[:len(out)-1]
			continue
		}
		out = append(out, strings.Join(append(rows[:2], more...), "\n"))
	}
	return strings.Join(out, "\n\n") + "\n"
}

func read(t *testing.T, file string) string {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// kustomization is what of kustomize's file deploy/ uses.
// Source: https://kubectl.docs.kubernetes.io/references/kustomize/kustomization/
type kustomization struct {
	APIVersion string                                   `json:"apiVersion"`
	Kind       string                                   `json:"kind"`
	Resources  []string                                 `json:"resources"`
	Components []string                                 `json:"components"`
	Images     []struct{ Name, NewName, NewTag string } `json:"images"`
	Patches    []struct {
		Path   string                      `json:"path"`
		Target struct{ Kind, Name string } `json:"target"`
	} `json:"patches"`
	ConfigMapGenerator []struct {
		Name, Namespace string
		Files           []string
		Options         struct {
			DisableNameSuffixHash bool `json:"disableNameSuffixHash"`
		}
	} `json:"configMapGenerator"`
}

// built is one object of an overlay: its text and its type.
type built struct {
	file string
	json []byte
	obj  runtime.Object
}

// build resolves a kustomization and what it takes in, with components laid over.
func build(t *testing.T, dir string, components ...string) []built {
	t.Helper()
	var k kustomization
	if err := yaml.UnmarshalStrict([]byte(read(t, filepath.Join(dir, "kustomization.yaml"))), &k); err != nil {
		t.Fatalf("%s: %v", dir, err)
	}
	var all []built
	for _, r := range k.Resources {
		path := filepath.Join(dir, r)
		if info, err := os.Stat(path); err != nil {
			t.Fatal(err)
		} else if info.IsDir() {
			all = append(all, build(t, path)...)
		} else {
			all = append(all, objects(t, path)...)
		}
	}
	for _, g := range k.ConfigMapGenerator {
		data := map[string]string{}
		for _, f := range g.Files {
			data[f] = read(t, filepath.Join(dir, f))
		}
		text, err := json.Marshal(map[string]any{"apiVersion": "v1", "kind": "ConfigMap", "data": data, "metadata": map[string]string{"name": g.Name, "namespace": g.Namespace}})
		if err != nil || !g.Options.DisableNameSuffixHash {
			t.Fatalf("%s: ConfigMap %s: %v, or with a hash in its name", dir, g.Name, err)
		}
		all = append(all, decode(t, dir, text))
	}
	for _, c := range components {
		all = component(t, filepath.Join(deploy, "kubernetes/components", c), all)
	}
	return all
}

// component lays one over what was built.
func component(t *testing.T, dir string, over []built) []built {
	t.Helper()
	over = append(over, build(t, dir)...)
	var k kustomization
	if err := yaml.UnmarshalStrict([]byte(read(t, filepath.Join(dir, "kustomization.yaml"))), &k); err != nil {
		t.Fatal(err)
	}
	for _, p := range k.Patches {
		patch, err := jsonpatch.DecodePatch([]byte(read(t, filepath.Join(dir, p.Path))))
		if err != nil {
			t.Fatal(err)
		}
		met := false
		for i, b := range over {
			if kind, name := head(t, b.json); kind != p.Target.Kind || name != p.Target.Name {
				continue
			}
			text, err := patch.Apply(b.json)
			if err != nil {
				t.Fatalf("%s: %v", dir, err)
			}
			over[i], met = decode(t, b.file, text), true
		}
		if !met {
			t.Errorf("%s: %s meets no %s %s", dir, p.Path, p.Target.Kind, p.Target.Name)
		}
	}
	return over
}

// head returns an object's kind and name.
func head(t *testing.T, text []byte) (kind, name string) {
	t.Helper()
	var o struct {
		Kind     string
		Metadata struct{ Name string }
	}
	if err := json.Unmarshal(text, &o); err != nil {
		t.Fatal(err)
	}
	return o.Kind, o.Metadata.Name
}

// objects decodes a file of manifests.
func objects(t *testing.T, file string) []built {
	t.Helper()
	return decodeAll(t, file, read(t, file))
}

// decodeAll decodes manifests that are in a file, or came from a program.
func decodeAll(t *testing.T, file, manifests string) (all []built) {
	t.Helper()
	documents := kyaml.NewYAMLReader(bufio.NewReader(strings.NewReader(manifests)))
	for {
		doc, err := documents.Read()
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		text, err := yaml.YAMLToJSONStrict(doc)
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		all = append(all, decode(t, file, text))
	}
}

// decode reads an object into the type that the API server has for it, and refuses
// keys that the type does not have.
func decode(t *testing.T, file string, text []byte) built {
	t.Helper()
	strict := kjson.NewSerializerWithOptions(kjson.DefaultMetaFactory, scheme.Scheme, scheme.Scheme, kjson.SerializerOptions{Strict: true})
	obj, _, err := strict.Decode(text, nil, nil)
	if err != nil {
		t.Fatalf("%s: %v in\n%s", file, err, text)
	}
	return built{file, bytes.TrimSpace(text), obj}
}

// deployed lists the files of deploy/.
func deployed(t *testing.T) (files []string) {
	t.Helper()
	err := filepath.WalkDir(deploy, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			rel, _ := filepath.Rel(deploy, path)
			files = append(files, filepath.ToSlash(rel))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}
