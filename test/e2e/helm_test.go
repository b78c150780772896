//go:build linux

package e2e

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/restmapper"
	"sigs.k8s.io/yaml"

	"github.com/lanyard-io/lanyard/internal/sandbox/awsd"
	"github.com/lanyard-io/lanyard/internal/sandbox/gitd"
	"github.com/lanyard-io/lanyard/sync/report"
	"github.com/lanyard-io/lanyard/test/e2e/plane"
)

const (
	chart       = "../../deploy/helm/lanyard"
	chartValues = "../testdata/helm/"
)

// operatorKinds are those of the Prometheus operator that the chart can make.
var operatorKinds = []custom{
	{"monitoring.coreos.com", "v1", "servicemonitors", "ServiceMonitor", "Namespaced"},
	{"monitoring.coreos.com", "v1", "prometheusrules", "PrometheusRule", "Namespaced"},
}

// helmBinary is Helm as make e2e builds it, with kubectl beside it.
func helmBinary(t *testing.T) string {
	t.Helper()
	binary := os.Getenv("LANYARD_HELM")
	if binary == "" {
		if os.Getenv("LANYARD_E2E") != "" {
			t.Fatal("LANYARD_HELM names no Helm: run make e2e, which builds it")
		}
		t.Skip("no Helm: run make e2e, which builds it and names it in LANYARD_HELM")
	}
	return binary
}

// helm runs Helm as the administrator, and reads nobody's settings.
func helm(t *testing.T, args ...string) string {
	t.Helper()
	binary, home := helmBinary(t), t.TempDir()
	args = append(args, "--namespace", lanyardNamespace)
	if slices.Contains(args, "--wait") {
		args = append(args, "--timeout", patience.String())
	}
	cmd := exec.Command(binary, args...)
	cmd.Env = []string{"HOME=" + home, "XDG_CACHE_HOME=" + home, "XDG_CONFIG_HOME=" + home, "XDG_DATA_HOME=" + home, "KUBECONFIG=" + plane.Need(t).Kubeconfig}
	var out, talk bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &talk
	if err := cmd.Run(); err != nil {
		t.Fatalf("helm %s: %v\n%s%s", strings.Join(args, " "), err, out.String(), talk.String())
	}
	return out.String()
}

// standing returns what stands of some objects, and the names of those that do not.
func standing(t *testing.T, objects []*unstructured.Unstructured) (there []*unstructured.Unstructured, absent []string) {
	t.Helper()
	mapper := restmapper.NewDeferredDiscoveryRESTMapper(memory.NewMemCacheClient(adminClient(t).Discovery()))
	client, err := dynamic.NewForConfig(admin(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range objects {
		gvk := o.GroupVersionKind()
		m, err := mapper.RESTMapping(gvk.GroupKind(), gvk.Version)
		if err != nil {
			t.Fatal(err)
		}
		got, err := client.Resource(m.Resource).Namespace(o.GetNamespace()).Get(t.Context(), o.GetName(), metav1.GetOptions{})
		switch {
		case apierrors.IsNotFound(err):
			absent = append(absent, o.GetKind()+" "+o.GetName())
		case err != nil:
			t.Fatal(err)
		default:
			there = append(there, got)
		}
	}
	return there, absent
}

// pods are those of the Deployment lanyard, once it stands as it should.
func (o *operator) pods() (pods []corev1.Pod) {
	o.t.Helper()
	eventually(o.t, "the Deployment of lanyard", func() error {
		d, err := o.kube.AppsV1().Deployments(lanyardNamespace).Get(o.t.Context(), "lanyard", metav1.GetOptions{})
		if err != nil {
			return err
		}
		list, err := o.kube.CoreV1().Pods(lanyardNamespace).List(o.t.Context(), metav1.ListOptions{LabelSelector: "app.kubernetes.io/name=lanyard"})
		if err != nil {
			return err
		}
		pods = slices.DeleteFunc(list.Items, func(p corev1.Pod) bool { return p.DeletionTimestamp != nil })
		n := *d.Spec.Replicas
		return errors.Join(want("observedGeneration", d.Status.ObservedGeneration, d.Generation), want("updatedReplicas", d.Status.UpdatedReplicas, n),
			want("availableReplicas", d.Status.AvailableReplicas, n), want("pods", len(pods), int(n)))
	})
	slices.SortFunc(pods, func(a, b corev1.Pod) int { return strings.Compare(a.Name, b.Name) })
	return pods
}

// TestChart: Helm takes over what kustomize made without restarting it; the API server,
// which enforces the restricted Pod Security Standard there, accepts everything that the
// chart makes under each values file, and each as an upgrade of the one before; what an
// upgrade no longer makes is gone, and after uninstall all of it.
func TestChart(t *testing.T) {
	o := &operator{lab: &lab{t: t, kube: adminClient(t)}}
	install(t, "observe")
	serve(t, operatorKinds)
	before := o.pods()

	kustomized, tidy := overlayValues(t, "observe"), func() { helm(t, "uninstall", "lanyard", "--wait", "--ignore-not-found") }
	t.Cleanup(tidy)
	helm(t, "upgrade", "--install", "lanyard", chart, "--values", kustomized, "--take-ownership", "--force-conflicts", "--wait")
	after := o.pods()
	if before[0].UID != after[0].UID || before[1].UID != after[1].UID {
		t.Error("the pods were made again when Helm took over what they are made of")
	}
	// What others had set is theirs too, until it changes.
	helm(t, "upgrade", "lanyard", chart, "--force-conflicts", "--wait")
	tidy()

	o.pool(`"system"`)
	t.Cleanup(func() { o.pool("null") })
	var made []*unstructured.Unstructured
	for _, file := range []string{"", "observe.yaml", "repair.yaml", "migrate.yaml", "hooks.yaml"} {
		args := []string{"upgrade", "--install", "lanyard", chart, "--wait", "--reset-values"}
		if file != "" {
			args = append(args, "--values", chartValues+file)
		}
		helm(t, args...)
		o.pods()
		was := made
		made = decode(t, []byte(helm(t, "get", "manifest", "lanyard")))
		if _, absent := standing(t, made); len(absent) > 0 {
			t.Errorf("values %q: not there: %v", file, absent)
		}
		var gone []*unstructured.Unstructured
		for _, w := range was {
			if !slices.ContainsFunc(made, func(m *unstructured.Unstructured) bool {
				return m.GetKind() == w.GetKind() && m.GetName() == w.GetName()
			}) {
				gone = append(gone, w)
			}
		}
		if there, _ := standing(t, gone); len(there) > 0 {
			t.Errorf("values %q: still there: %v", file, there)
		}
		if file == "migrate.yaml" && len(made) < 18 {
			t.Errorf("%d objects with everything on", len(made))
		}
	}
	tidy()
	if there, _ := standing(t, made); len(there) > 0 {
		t.Errorf("left by uninstall: %v", there)
	}
	if _, err := o.kube.CoreV1().Namespaces().Get(t.Context(), lanyardNamespace, metav1.GetOptions{}); err != nil {
		t.Errorf("the namespace: %v", err)
	}
}

// pool puts all nodes into the pool that migrate.yaml asks for, or takes them out of it.
func (o *operator) pool(name string) {
	o.t.Helper()
	nodes := o.kube.CoreV1().Nodes()
	all, err := nodes.List(context.Background(), metav1.ListOptions{})
	o.must(err)
	for _, n := range all.Items {
		_, err := nodes.Patch(context.Background(), n.Name, types.MergePatchType, []byte(`{"metadata":{"labels":{"node.example.com/pool":`+name+`}}}`), metav1.PatchOptions{})
		o.must(err)
	}
}

// overlayValues are values by which the chart makes what an overlay makes.
func overlayValues(t *testing.T, name string) string {
	t.Helper()
	config := map[string]any{}
	text, err := os.ReadFile(overlays + name + "/lanyard.yaml")
	if err == nil {
		err = yaml.Unmarshal(text, &config)
	}
	if err != nil {
		t.Fatal(err)
	}
	return valuesFile(t, map[string]any{"config": config, "image": map[string]string{"repository": "registry.example.com/lanyard", "tag": "TAG"}})
}

func valuesFile(t *testing.T, values map[string]any) string {
	t.Helper()
	text, err := yaml.Marshal(values)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "values.yaml")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// uninstall takes away what install made, but for the namespace.
func (o *operator) uninstall() {
	o.t.Helper()
	mapper := restmapper.NewDeferredDiscoveryRESTMapper(memory.NewMemCacheClient(o.kube.Discovery()))
	client, err := dynamic.NewForConfig(admin(o.t))
	o.must(err)
	objects := slices.DeleteFunc(manifests(o.t, overlays+o.mode), func(u *unstructured.Unstructured) bool { return u.GetKind() == "Namespace" })
	for _, u := range objects {
		gvk := u.GroupVersionKind()
		m, err := mapper.RESTMapping(gvk.GroupKind(), gvk.Version)
		o.must(err)
		foreground := metav1.DeletePropagationForeground
		o.must(client.Resource(m.Resource).Namespace(u.GetNamespace()).Delete(o.t.Context(), u.GetName(), metav1.DeleteOptions{PropagationPolicy: &foreground}))
	}
	eventually(o.t, "an empty place", func() error {
		there, _ := standing(o.t, objects)
		return want("objects left", len(there), 0)
	})
}

// secret makes a Secret beside lanyard.
func (o *operator) secret(name string, data map[string]string) {
	o.t.Helper()
	secrets := o.kube.CoreV1().Secrets(lanyardNamespace)
	_, err := secrets.Create(o.t.Context(), &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: name}, StringData: data}, metav1.CreateOptions{})
	o.must(err)
	o.t.Cleanup(func() { o.must(secrets.Delete(context.Background(), name, metav1.DeleteOptions{})) })
}

// container is a pod's container as a process of this machine: its own binary with its
// arguments, its environment, and the files that its volumes hold. kwok runs nothing.
type container struct {
	t             *testing.T
	cmd           *exec.Cmd
	log           *lines
	gone          chan struct{}
	address, hook string
}

// start is what a kubelet does for the one container of a pod, with what is in the cluster.
// A path of a mount is another one here. What a pod has of its own accord is told with
// flags: the API server, its namespace and its name; and its listeners are on loopback.
func (o *operator) start(binary string, pod corev1.Pod) *container {
	o.t.Helper()
	spec := pod.Spec.Containers[0]
	root := o.t.TempDir()
	here := func(text string) string {
		for _, m := range spec.VolumeMounts {
			text = strings.ReplaceAll(text, m.MountPath+"/", filepath.Join(root, m.Name)+"/")
			if text == m.MountPath {
				text = filepath.Join(root, m.Name)
			}
		}
		return text
	}
	for _, v := range pod.Spec.Volumes {
		files := map[string]string{}
		switch {
		case v.ConfigMap != nil:
			m, err := o.kube.CoreV1().ConfigMaps(pod.Namespace).Get(o.t.Context(), v.ConfigMap.Name, metav1.GetOptions{})
			o.must(err)
			for name, text := range m.Data {
				files[name] = here(text) // it names files of other mounts
			}
		case v.Secret != nil:
			s, err := o.kube.CoreV1().Secrets(pod.Namespace).Get(o.t.Context(), v.Secret.SecretName, metav1.GetOptions{})
			o.must(err)
			for name, data := range s.Data {
				files[name] = string(data)
			}
		}
		o.must(os.MkdirAll(filepath.Join(root, v.Name), 0o700))
		for name, text := range files {
			o.must(os.WriteFile(filepath.Join(root, v.Name, name), []byte(text), 0o600))
		}
	}
	id, secret := awsd.AccessKey(labAccount)
	env := []string{"AWS_REGION=eu-west-1", "AWS_ENDPOINT_URL=" + o.url, "AWS_ACCESS_KEY_ID=" + id, "AWS_SECRET_ACCESS_KEY=" + secret} // the webhook's and the agent's
	for _, e := range spec.Env {
		env = append(env, e.Name+"="+here(e.Value))
	}
	c := &container{t: o.t, log: &lines{}, gone: make(chan struct{}), address: o.free(), hook: o.free()}
	var args []string
	for _, a := range spec.Args {
		flag, value, is := strings.Cut(a, "=")
		provider, file, nested := strings.Cut(value, "=") // --hook-secret=github=FILE
		switch {
		case nested:
			a = flag + "=" + provider + "=" + here(file)
		case is:
			a = flag + "=" + here(value)
		}
		args = append(args, a)
	}
	args = append(args, "--kubeconfig="+asLanyard(o.t, &pod), "--lease-namespace="+pod.Namespace, "--identity="+pod.Name, "--listen="+c.address, "--hook-listen="+c.hook)
	c.cmd = exec.Command(binary, args...)
	c.cmd.Env, c.cmd.Stdout, c.cmd.Stderr = env, c.log, c.log
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	o.must(c.cmd.Start())
	go func() {
		defer close(c.gone)
		_ = c.cmd.Wait()
	}()
	o.t.Cleanup(func() {
		_ = c.cmd.Process.Kill()
		<-c.gone
		if o.t.Failed() {
			o.t.Logf("the log of %s:\n%s", pod.Name, c.log.last(15))
		}
	})
	probe := spec.ReadinessProbe.HTTPGet
	eventually(o.t, "readiness of "+pod.Name, func() error {
		select {
		case <-c.gone:
			o.t.Fatalf("%s has ended: %s", pod.Name, c.log.last(5))
		default:
		}
		_, err := c.get(probe.Path, "")
		return err
	})
	return c
}

// free is an address of loopback that nobody listens on.
func (o *operator) free() string {
	o.t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	o.must(err)
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}

// get asks the listener, and returns a good answer.
func (c *container) get(path, bearer string) (string, error) {
	req, err := http.NewRequestWithContext(c.t.Context(), http.MethodGet, "http://"+c.address+path, nil)
	if err != nil {
		return "", err
	}
	if bearer != "" {
		req.Header.Set("Authorization", "Bearer "+bearer)
	}
	answer, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer func() { _ = answer.Body.Close() }()
	body, err := io.ReadAll(answer.Body)
	return string(body), errors.Join(err, want("status of "+path, answer.StatusCode, http.StatusOK))
}

// shows waits until the metrics have these lines.
func (c *container) shows(lines ...string) {
	c.t.Helper()
	eventually(c.t, "metrics", func() error {
		all, err := c.get("/metrics", "")
		for _, l := range lines {
			if !strings.Contains(all, "\n"+l+"\n") {
				err = errors.Join(err, fmt.Errorf("no %s", l))
			}
		}
		return err
	})
}

// pushed tells the hook listener of a push, as docs/api.md says.
func (c *container) pushed(secret string) {
	c.t.Helper()
	now, body := strconv.FormatInt(time.Now().Unix(), 10), `{"ref": "refs/heads/main"}`
	mac := hmac.New(sha256.New, []byte(secret))
	_, _ = io.WriteString(mac, now+"."+body)
	req, err := http.NewRequestWithContext(c.t.Context(), http.MethodPost, "http://"+c.hook+"/hook/generic", strings.NewReader(body))
	if err != nil {
		c.t.Fatal(err)
	}
	req.Header.Set("X-Lanyard-Timestamp", now)
	req.Header.Set("X-Lanyard-Signature-256", "sha256="+hex.EncodeToString(mac.Sum(nil)))
	answer, err := http.DefaultClient.Do(req)
	if err != nil {
		c.t.Fatal(err)
	}
	_ = answer.Body.Close()
	if answer.StatusCode != http.StatusAccepted {
		c.t.Errorf("the hook answered %s", answer.Status)
	}
}

// TestHelmInstall: from this checkout to drift on the screen. Helm installs the chart in a
// cluster that has nothing of lanyard's; two replicas of the built binary, run from the
// pods that come of it and as the chart's ServiceAccount, read a repository with the token
// of a Secret; one leads, and what differs stands in /metrics, and on the page and in the
// API for whom the API server lets in. A commit that makes it right, and the hook that tells of it, clear
// it. lanyard is refused nothing and writes nothing, and what it looked at outlives the
// uninstall.
func TestHelmInstall(t *testing.T) {
	const token, hookSecret = "a-token-of-the-repository", "a-secret-of-the-hook-of-32-bytes"
	o := newOperatorIn(t, "observe", fleet())
	o.ready()
	o.uninstall()
	git, err := exec.LookPath("git")
	o.must(err)
	private, err := gitd.Serve(t.Context(), o.repo, gitd.Options{Git: git, Token: token})
	o.must(err)
	t.Cleanup(func() { o.must(private.Close()) })
	binary := filepath.Join(o.dir, "lanyard")
	out, err := exec.CommandContext(t.Context(), "go", "build", "-o", binary, "../../cmd/lanyard").CombinedOutput()
	if err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}

	o.secret("lanyard-git", map[string]string{"token": token})
	o.secret("lanyard-hooks", map[string]string{"generic": hookSecret})
	t.Cleanup(func() { helm(t, "uninstall", "lanyard", "--ignore-not-found") })
	notes := helm(t, "install", "lanyard", chart, "--create-namespace", "--wait", "--values", valuesFile(t, map[string]any{
		"config": map[string]any{
			"cluster": "irsa-lab",
			"source":  map[string]any{"url": private.URL, "paths": nil, "auth": map[string]any{"tokenFile": "/etc/lanyard-git/token"}},
		},
		"hooks": map[string]any{"enabled": true, "providers": []string{"generic"}},
		"api":   map[string]any{"access": true},
	}))
	if !strings.Contains(notes, "looks after cluster irsa-lab in mode observe") {
		t.Errorf("Helm says\n%s", notes)
	}
	authorized(t, "observe")
	o.kubeconfig = asLanyard(t, nil)
	o.reader()
	var replicas []*container
	for _, pod := range o.pods() {
		replicas = append(replicas, o.start(binary, pod))
	}
	if len(replicas) != 2 {
		t.Fatalf("%d pods, want 2", len(replicas))
	}
	leader, other := replicas[0], replicas[1]
	leader.shows("lanyard_leader 1")
	other.shows("lanyard_leader 0")

	drift := []string{
		fmt.Sprintf(`lanyard_mapping_in_sync{namespace=%q,service_account="irsa"} 0`, o.ns),
		fmt.Sprintf(`lanyard_mapping_in_sync{namespace=%q,service_account="pod"} 1`, o.ns),
		fmt.Sprintf(`lanyard_finding{kind="annotation-tuning",namespace=%q,plane="service-account",service_account="irsa",severity="warning"} 1`, o.ns),
		fmt.Sprintf(`lanyard_finding{kind="association-missing",namespace=%q,plane="association",service_account="fresh",severity="critical"} 1`, o.ns),
		`lanyard_gaps{source="iam:GetRole"} 0`,
	}
	leader.shows(drift...)
	reader := o.tokenOf("fresh")
	var status struct {
		Daemon struct{ LeaderIdentity string }
	}
	eventually(t, "the status", func() error {
		text, err := leader.get("/api/v1/status", reader)
		return errors.Join(err, json.Unmarshal([]byte(text), &status))
	})
	var found struct{ Findings []report.Finding }
	text, err := leader.get("/api/v1/findings", reader)
	o.must(errors.Join(err, json.Unmarshal([]byte(text), &found)))
	page, err := leader.get("/", reader)
	o.must(err)
	shown := html.UnescapeString(page)
	for _, f := range found.Findings {
		for _, s := range []string{string(f.Kind), f.Namespace + "/" + f.ServiceAccount, f.Expected, f.Actual} {
			if !strings.Contains(shown, s) {
				t.Errorf("the page does not show %q of finding %+v", s, f)
			}
		}
	}
	if len(found.Findings) != 3 {
		t.Errorf("findings %+v, want three", found.Findings)
	}
	for _, path := range []string{"/", "/api/v1/status"} {
		if _, err := leader.get(path, ""); err == nil {
			t.Errorf("%s is shown to anybody", path)
		}
	}

	wanted := fleet()
	o.push(map[string]string{"irsa.yaml": strings.Replace(wanted["irsa.yaml"], "  irsa: {tokenExpiration: 2h}\n", "", 1)})
	other.pushed(hookSecret) // which passes it on
	leader.shows(fmt.Sprintf(`lanyard_mapping_in_sync{namespace=%q,service_account="irsa"} 1`, o.ns))

	for _, r := range o.asked() {
		if r.Annotations["authorization.k8s.io/decision"] != "allow" {
			t.Errorf("refused: %s %s", r.Verb, r.RequestURI)
		}
	}
	if n := o.writes(); n != 0 {
		t.Errorf("%d writes in mode observe", n)
	}
	helm(t, "uninstall", "lanyard", "--wait")
	a, err := o.kube.CoreV1().ServiceAccounts(o.ns).Get(t.Context(), "irsa", metav1.GetOptions{})
	o.must(err)
	if _, ok := o.aws.Association(labCluster, o.ns, "pod"); !ok || len(a.Annotations) == 0 {
		t.Errorf("after uninstall there is an association: %v, and annotations %v", ok, a.Annotations)
	}
}

// reader lets ServiceAccount fresh read the page and the API.
func (o *operator) reader() {
	o.t.Helper()
	name := o.ns + "-reader"
	_, err := o.kube.RbacV1().ClusterRoles().Create(o.t.Context(), &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: name},
		Rules: []rbacv1.PolicyRule{{NonResourceURLs: []string{"/lanyard/", "/lanyard/api/v1/*"}, Verbs: []string{"get"}}}}, metav1.CreateOptions{})
	o.must(err)
	_, err = o.kube.RbacV1().ClusterRoleBindings().Create(o.t.Context(), &rbacv1.ClusterRoleBinding{ObjectMeta: metav1.ObjectMeta{Name: name},
		RoleRef:  rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: name},
		Subjects: []rbacv1.Subject{{Kind: "ServiceAccount", Namespace: o.ns, Name: "fresh"}}}, metav1.CreateOptions{})
	o.must(err)
}
