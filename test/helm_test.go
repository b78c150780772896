package test_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/lanyard-io/lanyard/desired"
	"github.com/lanyard-io/lanyard/internal/rights"
)

// helm runs Helm, which make check-chart builds and names, and which reads nobody's
// settings.
func helm(t *testing.T, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	binary := os.Getenv("LANYARD_HELM")
	if binary == "" {
		t.Skip("no Helm: run make check-chart, which builds it and names it in LANYARD_HELM")
	}
	cmd := exec.CommandContext(t.Context(), binary, args...)
	home := t.TempDir()
	cmd.Env = []string{"HOME=" + home, "XDG_CACHE_HOME=" + home, "XDG_CONFIG_HOME=" + home, "XDG_DATA_HOME=" + home, "KUBECONFIG=" + home + "/none", "SOURCE_DATE_EPOCH=1700000000"}
	var out, talk bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &talk
	err = cmd.Run()
	return out.String(), talk.String(), err
}

// render is helm template of the chart, in namespace lanyard unless args name another.
// Custom resources are left out: customs returns them.
func render(t *testing.T, args ...string) (all []built, customs string) {
	t.Helper()
	out, talk, err := helm(t, append([]string{"template", "lanyard", chart, "--namespace", "lanyard"}, args...)...)
	if err != nil {
		t.Fatalf("helm template %v: %v\n%s", args, err, talk)
	}
	var typed []string
	for doc := range strings.SplitSeq("\n"+out, "\n---\n") {
		switch {
		case strings.Contains(doc, "\napiVersion: monitoring.coreos.com/v1\n"):
			customs += doc + "\n---\n"
		case strings.Contains(doc, "\nkind: "):
			typed = append(typed, doc)
		}
	}
	return decodeAll(t, fmt.Sprintf("helm template %v", args), strings.Join(typed, "\n---\n")), customs
}

// valuesFiles are those of the tests, and "" for none.
func valuesFiles(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob("testdata/helm/*.yaml")
	if err != nil || len(files) < 4 {
		t.Fatalf("%d files of values, %v", len(files), err)
	}
	return append([]string{""}, files...)
}

func valuesArgs(file string) []string {
	if file == "" {
		return nil
	}
	return []string{"--values", file}
}

// TestHelmLint: Helm has nothing to say against the chart, without values and with any.
func TestHelmLint(t *testing.T) {
	t.Parallel()
	for _, file := range valuesFiles(t) {
		out, talk, err := helm(t, append([]string{"lint", "--strict", chart}, valuesArgs(file)...)...)
		if err != nil || strings.Contains(out, "[WARNING]") || strings.Contains(out, "[ERROR]") {
			t.Errorf("helm lint with values %q: %v\n%s%s", file, err, out, talk)
		}
	}
}

// TestHelmRenders: whatever the values, each object decodes strictly, stands once, and is
// in the release's namespace if it is in one; what runs is confined and told of files that
// are there; its configuration is one that lanyard reads.
func TestHelmRenders(t *testing.T) {
	t.Parallel()
	for _, file := range valuesFiles(t) {
		all, _ := render(t, valuesArgs(file)...)
		seen := map[string]bool{}
		for _, b := range all {
			kind, name := head(t, b.json)
			if seen[kind+name] {
				t.Errorf("%s: %s %s stands twice", file, kind, name)
			}
			seen[kind+name] = true
			namespaced := !slices.Contains([]string{"ClusterRole", "ClusterRoleBinding", "ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"}, kind)
			if o := b.obj.(interface{ GetNamespace() string }); (o.GetNamespace() == "lanyard") != namespaced {
				t.Errorf("%s: %s %s is in namespace %q", file, kind, name, o.GetNamespace())
			}
		}
		text := one[*corev1.ConfigMap](t, all, "lanyard").Data["lanyard.yaml"]
		if _, err := desired.ParseConfiguration("lanyard.yaml", []byte(text)); err != nil {
			t.Errorf("%s: %v in\n%s", file, err, text)
		}
		if strings.HasSuffix(file, "sparse.yaml") {
			for _, gone := range []string{"ServiceAccountrobot", "PodDisruptionBudgetlanyard", "NetworkPolicylanyard"} {
				if seen[gone] {
					t.Errorf("%s: there is %s", file, gone)
				}
			}
			continue
		}
		soundPod(t, file, one[*appsv1.Deployment](t, all, "lanyard"))
	}
}

// TestHelmEverything: each value of migrate.yaml has arrived where it belongs.
func TestHelmEverything(t *testing.T) {
	t.Parallel()
	all, customs := render(t, "--values", "testdata/helm/migrate.yaml")
	d := one[*appsv1.Deployment](t, all, "lanyard")
	pod := d.Spec.Template
	c := pod.Spec.Containers[0]
	env := map[string]string{}
	for _, e := range c.Env {
		env[e.Name] = e.Value
	}
	secrets := map[string]string{}
	for _, v := range pod.Spec.Volumes {
		if v.Secret != nil {
			secrets[v.Name] = v.Secret.SecretName
		}
	}
	for what, is := range map[string]bool{
		"image":              c.Image == "registry.example.com/lanyard@sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08" && c.ImagePullPolicy == corev1.PullAlways,
		"pull secret":        cmp.Equal(pod.Spec.ImagePullSecrets, []corev1.LocalObjectReference{{Name: "registry"}}),
		"replicas":           *d.Spec.Replicas == 3,
		"flags":              strings.HasSuffix(strings.Join(c.Args, " "), "--hook-secret=github=/etc/lanyard-hooks/github --hook-secret=generic=/etc/lanyard-hooks/generic --api-access --api-token-file=/etc/lanyard-api/tokens --tls-cert=/etc/lanyard-tls/tls.crt --tls-key=/etc/lanyard-tls/tls.key --log-level=debug --mapping-series-limit=-1"),
		"GOMEMLIMIT":         env["GOMEMLIMIT"] == "1382MiB", // 1.5 Gi are 1536 Mi
		"environment":        env["HTTPS_PROXY"] == "http://proxy.example.com:3128" && env["AWS_REGION"] == "eu-west-1",
		"Secrets":            cmp.Equal(secrets, map[string]string{"git": "fleet-deploy-key", "hooks": "git-hooks", "api": "lanyard-readers", "tls": "lanyard-tls"}),
		"a ConfigMap":        pod.Spec.Volumes[len(pod.Spec.Volumes)-1].ConfigMap != nil && c.VolumeMounts[len(c.VolumeMounts)-1].MountPath == "/etc/authorities",
		"probes over TLS":    c.LivenessProbe.HTTPGet.Scheme == corev1.URISchemeHTTPS && c.ReadinessProbe.HTTPGet.Scheme == corev1.URISchemeHTTPS,
		"node selector":      pod.Spec.NodeSelector["node.example.com/pool"] == "system" && pod.Spec.NodeSelector["kubernetes.io/os"] == "linux",
		"toleration":         len(pod.Spec.Tolerations) == 1 && pod.Spec.Affinity.NodeAffinity != nil,
		"priority":           pod.Spec.PriorityClassName == "system-cluster-critical",
		"labels":             pod.Labels["example.com/team"] == "platform" && pod.Annotations["example.com/owner"] == "platform",
		"the ServiceAccount": one[*corev1.ServiceAccount](t, all, "lanyard").Annotations["eks.amazonaws.com/role-arn"] == "arn:aws:iam::123456789012:role/lanyard-irsa-lab",
		"ServiceMonitor":     strings.Contains(customs, "kind: ServiceMonitor") && strings.Contains(customs, "interval: 15s") && strings.Contains(customs, "honorLabels: true") && strings.Contains(customs, "scheme: https"),
	} {
		if !is {
			t.Errorf("%s: not as in values.yaml: %+v %+v", what, pod, c)
		}
	}
	board := one[*corev1.ConfigMap](t, all, "lanyard-dashboard")
	if board.Labels["grafana_dashboard"] != "1" || board.Annotations["grafana_folder"] != "EKS" || strings.TrimSpace(board.Data["lanyard.json"]) != strings.TrimSpace(read(t, deploy+"/grafana/lanyard.json")) {
		t.Errorf("the dashboard has labels %v, annotations %v and %d bytes", board.Labels, board.Annotations, len(board.Data["lanyard.json"]))
	}
	config, err := desired.ParseConfiguration("lanyard.yaml", []byte(one[*corev1.ConfigMap](t, all, "lanyard").Data["lanyard.yaml"]))
	if err != nil || config.Budgets.ChangesPerRound != 1000 || config.Accounts[0].ID != "210987654321" || !config.Migration.Pause || len(config.Protect) != 2 {
		t.Errorf("the configuration is %+v, %v", config, err)
	}
	type rule struct {
		Kind     string
		Metadata struct{ Labels map[string]string }
		Spec     ruleFile
	}
	var found []rule
	for doc := range strings.SplitSeq(customs, "\n---\n") {
		var r rule
		if err := yaml.Unmarshal([]byte(doc), &r); err != nil {
			t.Fatal(err)
		}
		if r.Kind == "PrometheusRule" {
			found = append(found, r)
		}
	}
	if len(found) != 1 || found[0].Metadata.Labels["release"] != "prometheus" {
		t.Fatalf("PrometheusRules %+v", found)
	}
	if d := cmp.Diff(rules(t), found[0].Spec); d != "" {
		t.Errorf("alerts (-deploy/prometheus +chart)\n%s", d)
	}
}

// TestHelmRights: in each mode, with and without the features that have rights in
// Kubernetes, the chart grants what lanyard policy prints for its namespace and
// ServiceAccount, object by object; and its admission policies are about that user.
func TestHelmRights(t *testing.T) {
	t.Parallel()
	place := rights.Place{Namespace: "elsewhere", ServiceAccount: "robot"}
	for _, mode := range rights.Modes() {
		for _, features := range [][]string{nil, {rights.APIAccess}, {rights.IdentityProbe}} {
			all, _ := render(t, "--namespace", place.Namespace, "--set", "serviceAccount.name="+place.ServiceAccount,
				"--values", "testdata/helm/repair.yaml", "--set", "config.mode="+mode, "--set", fmt.Sprint("api.access=", slices.Contains(features, rights.APIAccess)), "--set", fmt.Sprint("config.features.identityProbe=", slices.Contains(features, rights.IdentityProbe)))
			w, err := rights.For(mode, nil, place)
			if err != nil {
				t.Fatal(err)
			}
			printed := w.RBAC() // the features' rules are in roles of their own
			if w, err = rights.For(mode, features, place); err != nil {
				t.Fatal(err)
			}
			want := map[string]string{}
			for _, b := range decodeAll(t, "lanyard policy", printed+"---\n"+w.Admission()) {
				kind, name := head(t, b.json)
				want[kind+" "+name] = string(b.json)
			}
			var got []rights.Rule
			for _, b := range all {
				kind, name := head(t, b.json)
				if text, is := want[kind+" "+name]; is && text != string(b.json) {
					t.Errorf("mode %s: %s %s is\n%s\nwant\n%s", mode, kind, name, b.json, text)
				}
				delete(want, kind+" "+name)
				for _, r := range rulesOf(t, b, place) {
					got = append(got, rights.Rule{Group: strings.Join(r.APIGroups, ","), Resources: r.Resources, Names: r.ResourceNames, Paths: r.NonResourceURLs, Verbs: r.Verbs})
				}
			}
			if len(want) > 0 {
				t.Errorf("mode %s: not in the chart: %v", mode, slices.Sorted(maps.Keys(want)))
			}
			if d := cmp.Diff(append(slices.Clone(w.Rules), w.Own...), got, cmpopts.IgnoreFields(rights.Rule{}, "Why"), cmpopts.EquateEmpty(),
				cmpopts.SortSlices(func(a, b rights.Rule) bool { return fmt.Sprint(a) < fmt.Sprint(b) })); d != "" {
				t.Errorf("mode %s with %v (-policy +chart)\n%s", mode, features, d)
			}
			user := one[*admissionv1.ValidatingAdmissionPolicy](t, all, rights.AdmissionPolicy).Spec.MatchConditions[0].Expression
			if d := one[*appsv1.Deployment](t, all, "lanyard"); d.Namespace != "elsewhere" || d.Spec.Template.Spec.ServiceAccountName != "robot" || !strings.HasSuffix(user, `"system:serviceaccount:elsewhere:robot"`) {
				t.Errorf("mode %s: runs as %s/%s; the policy says %s", mode, d.Namespace, d.Spec.Template.Spec.ServiceAccountName, user)
			}
		}
	}
}

// departures are how the chart may differ from the overlays, and why. Each must be met.
var departures = []struct{ path, why string }{
	{`Namespace lanyard .*`, "a release is in a namespace, and makes none: helm install --create-namespace does"},
	{`\S+ \S+ metadata\.labels\.(app\.kubernetes\.io/(version|managed-by)|helm\.sh/chart)`, "the labels that a chart's objects have"},
	{`ConfigMap lanyard metadata\.labels\.app\.kubernetes\.io/name`, "kustomize's generator gives no labels"},
	{`ConfigMap lanyard data\.lanyard\.yaml`, "Helm writes it anew, without comments; it is compared parsed"},
}

// TestHelmKustomize: given an overlay's configuration and image, the chart makes what the
// overlay makes, alone and with its components, field by field, but for the departures.
func TestHelmKustomize(t *testing.T) {
	t.Parallel()
	met := make([]int, len(departures))
	for _, v := range variants {
		dir := deploy + "/kubernetes/overlays/" + v.overlay
		var k kustomization
		if err := yaml.UnmarshalStrict([]byte(read(t, dir+"/kustomization.yaml")), &k); err != nil {
			t.Fatal(err)
		}
		var config map[string]any
		if err := yaml.UnmarshalStrict([]byte(read(t, dir+"/lanyard.yaml")), &config); err != nil {
			t.Fatal(err)
		}
		if slices.Contains(v.components, "identity-probe") {
			config["features"] = map[string]bool{"identityProbe": true}
		}
		values, err := json.Marshal(map[string]any{
			"config": config, // the file as it is
			"image":  map[string]string{"repository": k.Images[0].NewName, "tag": k.Images[0].NewTag},
			"hooks":  map[string]bool{"enabled": slices.Contains(v.components, "hooks")},
			"api":    map[string]bool{"access": slices.Contains(v.components, "api-access")},
		})
		if err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(t.TempDir(), "values.yaml")
		if err := os.WriteFile(file, values, 0o600); err != nil {
			t.Fatal(err)
		}
		plain := build(t, dir, v.components...)
		c := &one[*appsv1.Deployment](t, plain, "lanyard").Spec.Template.Spec.Containers[0]
		if c.Image != k.Images[0].Name {
			t.Fatalf("overlay %s replaces %s, and the Deployment has %s", v.overlay, k.Images[0].Name, c.Image)
		}
		c.Image = k.Images[0].NewName + ":" + k.Images[0].NewTag
		charted, customs := render(t, "--values", file)
		if customs != "" {
			t.Errorf("overlay %s has no custom resources, the chart\n%s", v.overlay, customs)
		}
		a, b := fields(t, plain), fields(t, charted)
		for _, path := range slices.Sorted(maps.Keys(union(a, b))) {
			if reflect.DeepEqual(a[path], b[path]) {
				continue
			}
			i := slices.IndexFunc(departures, func(d struct{ path, why string }) bool {
				return regexp.MustCompile(`^` + d.path + `$`).MatchString(path)
			})
			if i < 0 {
				t.Errorf("overlay %s with %v: %s is %v, and of the chart %v", v.overlay, v.components, path, a[path], b[path])
				continue
			}
			met[i]++
		}
		want := configurationOf(t, plain)
		want.Features.IdentityProbe = slices.Contains(v.components, "identity-probe") // its component leaves that to the file
		if d := cmp.Diff(want, configurationOf(t, charted), cmpopts.IgnoreTypes(desired.Position{})); d != "" {
			t.Errorf("overlay %s: the configuration (-overlay +chart)\n%s", v.overlay, d)
		}
	}
	for i, n := range met {
		if n == 0 {
			t.Errorf("nothing departs any more as %s: %s", departures[i].path, departures[i].why)
		}
	}
}

func union(a, b map[string]any) map[string]any {
	all := maps.Clone(a)
	maps.Copy(all, b)
	return all
}

// fields are all values of all objects, by kind, name and path.
func fields(t *testing.T, all []built) map[string]any {
	t.Helper()
	out := map[string]any{}
	var walk func(path string, v any)
	walk = func(path string, v any) {
		switch v := v.(type) {
		case map[string]any:
			for key, below := range v {
				walk(path+"."+key, below)
			}
		case []any:
			for i, below := range v {
				walk(fmt.Sprintf("%s[%d]", path, i), below)
			}
		default:
			out[path] = v
		}
	}
	for _, b := range all {
		kind, name := head(t, b.json)
		text, err := json.Marshal(b.obj) // as the type has it: quantities and octal numbers are one
		var o map[string]any
		if err := errors.Join(err, json.Unmarshal(text, &o)); err != nil {
			t.Fatal(err)
		}
		for key, v := range o {
			walk(kind+" "+name+" "+key, v)
		}
	}
	return out
}

func configurationOf(t *testing.T, all []built) desired.Configuration {
	t.Helper()
	c, err := desired.ParseConfiguration("lanyard.yaml", []byte(one[*corev1.ConfigMap](t, all, "lanyard").Data["lanyard.yaml"]))
	if err != nil {
		t.Fatal(err)
	}
	return *c
}

// TestHelmRefuses: a mistake in the values is refused before anything is made, and the
// refusal says where it is.
func TestHelmRefuses(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ values, want string }{
		{"imag: {tag: v1}", "additional properties 'imag' not allowed"},
		{"image: {digest: latest}", "at '/image/digest': 'latest' does not match"},
		{"config: {mode: fix}", "at '/config/mode': value must be one of 'observe', 'repair', 'migrate'"},
		{"config: {modus: observe}", "at '/config': additional properties 'modus' not allowed"},
		{"config: {mode: repair}", "config.mode is repair, which writes, and config.allow does not say where."},
		{"config: {cluster: null}", "at '/config': missing property 'cluster'"},
		{"config: {source: null}", "at '/config': missing property 'source'"},
		{"config: {source: {auth: {token: s3cr3t}}}", "at '/config/source/auth': additional properties 'token' not allowed"},
		{"git: {token: s3cr3t}", "at '/git': additional properties 'token' not allowed"},
		{"hooks: {secret: s3cr3t}", "at '/hooks': additional properties 'secret' not allowed"},
		{"hooks: {enabled: true, from: []}", "at '/hooks/from': minItems: got 0, want 1"},
		{"hooks: {enabled: true, from: null}", "at '/hooks': missing property 'from'"},
		{"hooks: {enabled: true, providers: [bitbucket]}", "at '/hooks/providers/0': value must be one of 'github', 'gitlab', 'gitea', 'generic'"},
		{"networkPolicy: {from: [{}]}", "at '/networkPolicy/from/0': minProperties: got 0, want 1"},
		{"podLabels: {app.kubernetes.io/name: other}", "invalid propertyName 'app.kubernetes.io/name'"},
		{"args: [log-level=debug]", "at '/args/0': 'log-level=debug' does not match"},
		{"replicas: two", "at '/replicas': got string, want integer"},
	} {
		file := filepath.Join(t.TempDir(), "values.yaml")
		if err := os.WriteFile(file, []byte(test.values), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, talk, err := helm(t, "template", "lanyard", chart, "--values", file); err == nil || !strings.Contains(talk, test.want) {
			t.Errorf("values %s: %v, and\n%swant an error with %s", test.values, err, talk, test.want)
		}
	}
}

// TestHelmNotes: what is said after an install names what these values ask for.
func TestHelmNotes(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		file      string
		has, lack []string
	}{
		{"", []string{"in mode observe: it reads", "These are the example's values", "-o trust-pod-identity", "set config.mode to repair"}, []string{"git-token", "kubectl scale", "trust-irsa", "lanyard status"}},
		{"testdata/helm/hooks.yaml", []string{"create secret generic lanyard-git", "must have the keys github;", "lanyard status http://localhost:8080"}, nil},
		{"testdata/helm/migrate.yaml", []string{"policy --mode migrate", "-o trust-irsa", "role/lanyard-irsa-lab", "keys github, generic;", "lanyard status https://localhost:8080", "kubectl scale"}, []string{"create-pod-identity-association", "set config.mode to repair"}},
	} {
		out, talk, err := helm(t, append([]string{"install", "lanyard", chart, "--namespace", "lanyard", "--dry-run=client"}, valuesArgs(test.file)...)...)
		if err != nil {
			t.Fatalf("%v\n%s", err, talk)
		}
		_, notes, _ := strings.Cut(out, "\nNOTES:\n")
		for _, s := range test.has {
			if !strings.Contains(notes, s) {
				t.Errorf("values %q: the notes do not say %q:\n%s", test.file, s, notes)
			}
		}
		for _, s := range test.lack {
			if strings.Contains(notes, s) {
				t.Errorf("values %q: the notes say %q:\n%s", test.file, s, notes)
			}
		}
	}
}

// TestHelmPages: the values that the pages show are values.
func TestHelmPages(t *testing.T) {
	t.Parallel()
	for _, page := range []string{chart + "/README.md", "../docs/deploy.md"} {
		found := regexp.MustCompile("(?s)```yaml\n(image:.*?)```").FindAllStringSubmatch(read(t, page), -1)
		if len(found) == 0 {
			t.Errorf("%s shows no values", page)
		}
		for _, m := range found {
			file := filepath.Join(t.TempDir(), "values.yaml")
			if err := os.WriteFile(file, []byte(m[1]), 0o600); err != nil {
				t.Fatal(err)
			}
			all, _ := render(t, "--values", file)
			if c := configurationOf(t, all); c.Source.Auth.TokenFile != "/etc/lanyard-git/token" {
				t.Errorf("%s: the configuration is %+v", page, c)
			}
		}
	}
}

// TestHelmPackage: what make chart makes is the same twice, has the version and image that
// it is told, holds every file of the chart, and renders.
func TestHelmPackage(t *testing.T) {
	t.Parallel()
	var packed [2][]byte
	file := ""
	for i := range packed {
		dir := t.TempDir()
		if _, talk, err := helm(t, "package", chart, "--destination", dir, "--version", "1.2.3", "--app-version", "v1.2.3"); err != nil {
			t.Fatalf("%v\n%s", err, talk)
		}
		file = filepath.Join(dir, "lanyard-1.2.3.tgz")
		packed[i] = []byte(read(t, file))
	}
	if !bytes.Equal(packed[0], packed[1]) {
		t.Error("two packages of one chart differ")
	}
	var names []string
	unzipped, err := gzip.NewReader(bytes.NewReader(packed[0]))
	if err != nil {
		t.Fatal(err)
	}
	for r := tar.NewReader(unzipped); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		names = append(names, "helm/"+h.Name)
	}
	want := slices.DeleteFunc(deployed(t), func(f string) bool { return !strings.HasPrefix(f, "helm/lanyard/") })
	if d := cmp.Diff(want, sorted(names)); d != "" {
		t.Errorf("files (-tree +package)\n%s", d)
	}
	out, talk, err := helm(t, "template", "lanyard", file)
	if err != nil || !strings.Contains(out, `image: "registry.example.com/lanyard:v1.2.3"`) || !strings.Contains(out, `helm.sh/chart: "lanyard-1.2.3"`) {
		t.Errorf("the package renders with %v\n%s%s", err, out, talk)
	}
}
