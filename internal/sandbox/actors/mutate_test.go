package actors

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const (
	role   = "arn:aws:iam::123456789012:role/eks-irsa-lab-demo-s3-reader-role"
	wiDir  = "/var/run/secrets/eks.amazonaws.com/serviceaccount"
	piDir  = "/var/run/secrets/pods.eks.amazonaws.com/serviceaccount"
	piURI  = "AWS_CONTAINER_CREDENTIALS_FULL_URI=http://169.254.170.23/v1/credentials"
	piFile = "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE=" + piDir + "/eks-pod-identity-token"
	wiRole = "AWS_ROLE_ARN=" + role
	wiFile = "AWS_WEB_IDENTITY_TOKEN_FILE=" + wiDir + "/token"
	sts    = "AWS_STS_REGIONAL_ENDPOINTS=regional"
	region = "AWS_DEFAULT_REGION=eu-west-1 AWS_REGION=eu-west-1"
)

// associated answers for the pairs it names.
type associated []string

func (a associated) Association(ns, sa string) bool { return slices.Contains(a, ns+"/"+sa) }

// cached is the webhook's cache: the annotations of the ServiceAccounts it has.
type cached map[string]map[string]string

func (c cached) ServiceAccount(ns, name string) (*corev1.ServiceAccount, bool) {
	a, ok := c[ns+"/"+name]
	return &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: name, Annotations: a}}, ok
}

// world is the situation of one test: the annotations of demo/s3-reader, whether it has
// an association, and a pod with one container.
type world struct {
	annotations map[string]string
	association bool
	cfg         Config
	pod         *corev1.Pod
}

func irsa(more ...string) map[string]string {
	out := map[string]string{RoleARNAnnotation: role}
	for i := 0; i+1 < len(more); i += 2 {
		out[annotationPrefix+more[i]] = more[i+1]
	}
	return out
}

func onePod() *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "demo", Name: "p"},
		Spec:       corev1.PodSpec{ServiceAccountName: "s3-reader", Containers: []corev1.Container{{Name: "main"}}},
	}
}

func env(pairs ...string) []corev1.EnvVar {
	var out []corev1.EnvVar
	for _, p := range pairs {
		name, value, _ := strings.Cut(p, "=")
		out = append(out, corev1.EnvVar{Name: name, Value: value})
	}
	return out
}

func (w world) mutate(t *testing.T, change func(*corev1.Pod)) *corev1.Pod {
	t.Helper()
	w.pod = onePod()
	if change != nil {
		change(w.pod)
	}
	w.cfg.RegionalSTS = true
	if w.cfg.Region == "" {
		w.cfg.Region = "eu-west-1"
	}
	if w.cfg.ServiceAccounts == nil {
		w.cfg.ServiceAccounts = cached{"demo/s3-reader": w.annotations}
	}
	if w.association {
		w.cfg.Associations = associated{"demo/s3-reader"}
	}
	before := w.pod.DeepCopy()
	out := Mutate(w.pod, w.cfg)
	if diff := cmp.Diff(before, w.pod); diff != "" {
		t.Errorf("Mutate changed its input:\n%s", diff)
	}
	for _, version := range []string{"v1", "v1beta1"} {
		if diff := cmp.Diff(out, overHTTP(t, version, before, w.cfg), cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("the two mounts differ (-call +AdmissionReview %s):\n%s", version, diff)
		}
	}
	return out
}

func envOf(c corev1.Container) string {
	var out []string
	for _, e := range c.Env {
		out = append(out, e.Name+"="+e.Value)
	}
	return strings.Join(out, " ")
}

func wantEnv(t *testing.T, c corev1.Container, want ...string) {
	t.Helper()
	if got := envOf(c); got != strings.Join(want, " ") {
		t.Errorf("container %s:\ngot  %s\nwant %s", c.Name, got, strings.Join(want, " "))
	}
}

// token returns audience, lifetime and path of the projected token in a volume.
func token(t *testing.T, p *corev1.Pod, volume string) (audience string, seconds int64, path string) {
	t.Helper()
	for _, v := range p.Spec.Volumes {
		if v.Name == volume && v.Projected != nil {
			s := v.Projected.Sources[0].ServiceAccountToken
			return s.Audience, *s.ExpirationSeconds, s.Path
		}
	}
	t.Fatalf("volume %s is missing in %+v", volume, p.Spec.Volumes)
	return "", 0, ""
}

func wantUntouched(t *testing.T, w world, change func(*corev1.Pod)) {
	t.Helper()
	want := onePod()
	if change != nil {
		change(want)
	}
	if diff := cmp.Diff(want, w.mutate(t, change)); diff != "" {
		t.Errorf("want the pod untouched (-want +got):\n%s", diff)
	}
}

func TestRuleWebIdentity(t *testing.T) {
	t.Parallel()
	p := world{annotations: irsa()}.mutate(t, nil)
	wantEnv(t, p.Spec.Containers[0], sts, region, wiRole, wiFile)
	want := []corev1.VolumeMount{{Name: "aws-iam-token", ReadOnly: true, MountPath: wiDir}}
	if diff := cmp.Diff(want, p.Spec.Containers[0].VolumeMounts); diff != "" {
		t.Errorf("mounts (-want +got):\n%s", diff)
	}
	if a, s, path := token(t, p, "aws-iam-token"); a != "sts.amazonaws.com" || s != 86_400 || path != "token" {
		t.Errorf("token %s, %d s, %s", a, s, path)
	}
	if len(p.Labels) != 0 {
		t.Errorf("labels = %v, want none", p.Labels)
	}
}

func TestRulePodIdentity(t *testing.T) {
	t.Parallel()
	p := world{association: true}.mutate(t, nil)
	wantEnv(t, p.Spec.Containers[0], sts, region, piURI, piFile)
	want := []corev1.VolumeMount{{Name: "eks-pod-identity-token", ReadOnly: true, MountPath: piDir}}
	if diff := cmp.Diff(want, p.Spec.Containers[0].VolumeMounts); diff != "" {
		t.Errorf("mounts (-want +got):\n%s", diff)
	}
	if a, _, path := token(t, p, "eks-pod-identity-token"); a != "pods.eks.amazonaws.com" || path != "eks-pod-identity-token" {
		t.Errorf("token %s, %s", a, path)
	}
	if p.Labels[PodIdentityLabel] != "enabled" {
		t.Errorf("labels = %v, want %s=enabled", p.Labels, PodIdentityLabel)
	}
}

func TestRuleExactlyOneMechanismPodIdentityFirst(t *testing.T) {
	t.Parallel()
	p := world{annotations: irsa(), association: true}.mutate(t, nil)
	wantEnv(t, p.Spec.Containers[0], sts, region, piURI, piFile)
	if len(p.Spec.Volumes) != 1 {
		t.Errorf("%d volumes, want Pod Identity's only", len(p.Spec.Volumes))
	}
}

func TestRuleAssociationMatchIsExact(t *testing.T) {
	t.Parallel()
	for _, pair := range []string{"demo/*", "demo/s3", "other/s3-reader", "demo/S3-READER"} {
		wantUntouched(t, world{cfg: Config{Associations: associated{pair}}}, nil)
	}
}

func TestRuleNothingConfigured(t *testing.T) {
	t.Parallel()
	wantUntouched(t, world{}, nil)
	wantUntouched(t, world{annotations: map[string]string{RoleARNAnnotation: ""}}, nil)
}

func TestRuleAudience(t *testing.T) {
	t.Parallel()
	p := world{annotations: irsa("audience", "vault")}.mutate(t, nil)
	if a, _, _ := token(t, p, "aws-iam-token"); a != "vault" {
		t.Errorf("audience = %q, want vault", a)
	}
	p = world{annotations: irsa("audience", "vault"), association: true}.mutate(t, nil)
	if a, _, _ := token(t, p, "eks-pod-identity-token"); a != "pods.eks.amazonaws.com" {
		t.Errorf("audience = %q, want Pod Identity's own", a)
	}
}

func TestRuleRegionalEndpoints(t *testing.T) {
	t.Parallel()
	for value, on := range map[string]bool{"true": true, "1": true, "T": true, "false": false, "0": false, "F": false, "yes": true, "": true, "off": true} {
		for _, pi := range []bool{false, true} {
			p := world{annotations: irsa("sts-regional-endpoints", value), association: pi}.mutate(t, nil)
			if got := strings.Contains(envOf(p.Spec.Containers[0]), sts); got != on {
				t.Errorf("annotation %q, Pod Identity %t: variable %t, want %t", value, pi, got, on)
			}
		}
	}
}

func TestRuleTokenExpiration(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, sa, pod string
		want          int64
	}{
		{"ServiceAccount", "3600", "", 3600},
		{"pod wins", "3600", "7200", 7200},
		{"pod alone", "", "7200", 7200},
		{"too small is raised", "599", "", 600},
		{"pod's too small is raised", "3600", "-1", 600},
		{"no number is ignored", "1h", "", 86_400},
		{"pod's no number is ignored", "3600", "1h", 3600},
		{"no upper bound", "604800", "", 604_800},
	}
	for _, test := range tests {
		for volume, pi := range map[string]bool{"aws-iam-token": false, "eks-pod-identity-token": true} {
			if pi && test.want == 86_400 {
				continue // jittered: TestRuleJitter
			}
			a := irsa()
			if test.sa != "" {
				a[TokenExpirationAnnotation] = test.sa
			}
			p := world{annotations: a, association: pi}.mutate(t, func(p *corev1.Pod) {
				if test.pod != "" {
					p.Annotations = map[string]string{TokenExpirationAnnotation: test.pod}
				}
			})
			if _, got, _ := token(t, p, volume); got != test.want {
				t.Errorf("%s in %s: got %d, want %d", test.name, volume, got, test.want)
			}
		}
	}
}

func TestRuleJitter(t *testing.T) {
	t.Parallel()
	seen := map[int64]bool{}
	for i := range 200 {
		w := world{association: true, cfg: Config{Seed: 7}}
		if i%2 == 0 {
			w.annotations = irsa("token-expiration", "86400") // the default's value is jittered wherever it comes from
		}
		name := func(p *corev1.Pod) { p.Name = fmt.Sprint("p-", i) }
		_, got, _ := token(t, w.mutate(t, name), "eks-pod-identity-token")
		_, again, _ := token(t, w.mutate(t, name), "eks-pod-identity-token")
		if got != again {
			t.Errorf("pod %d: %d, then %d with the same seed", i, got, again)
		}
		if got < 79_200 || got > 86_400 {
			t.Errorf("pod %d: %d is outside 79200 to 86400", i, got)
		}
		seen[got] = true
	}
	if len(seen) < 100 {
		t.Errorf("200 pods share %d lifetimes, want them spread", len(seen))
	}
}

func TestRuleSkipContainers(t *testing.T) {
	t.Parallel()
	tests := []struct{ line, equipped string }{
		{"main,init", "side"},
		{"main, side", "init side"}, // no trimming: the name is " side"
		{`"main","side"`, "init"},
		{"main\nside", "init side"}, // one line only
		{`ma"in,side`, "init main side"},
		{"", "init main side"},
		{"MAIN", "init main side"},
	}
	for _, test := range tests {
		p := world{annotations: irsa()}.mutate(t, func(p *corev1.Pod) {
			p.Annotations = map[string]string{SkipContainersAnnotation: test.line}
			p.Spec.InitContainers = []corev1.Container{{Name: "init"}}
			p.Spec.Containers = append(p.Spec.Containers, corev1.Container{Name: "side"})
		})
		var got []string
		for _, c := range slices.Concat(p.Spec.InitContainers, p.Spec.Containers) {
			if len(c.Env) > 0 {
				got = append(got, c.Name)
			}
		}
		if strings.Join(got, " ") != test.equipped {
			t.Errorf("skip-containers %q: equipped %q, want %q", test.line, got, test.equipped)
		}
		if len(p.Spec.Volumes) != 1 {
			t.Errorf("skip-containers %q: the volume is missing", test.line)
		}
	}
}

func TestRuleSkipAllKeepsVolume(t *testing.T) {
	t.Parallel()
	p := world{annotations: irsa()}.mutate(t, func(p *corev1.Pod) {
		p.Annotations = map[string]string{SkipContainersAnnotation: "main"}
	})
	if len(p.Spec.Volumes) != 1 || len(p.Spec.Containers[0].Env) != 0 {
		t.Errorf("got %d volumes, env %s, want the volume alone", len(p.Spec.Volumes), envOf(p.Spec.Containers[0]))
	}
}

func TestRuleInitContainersYesEphemeralNo(t *testing.T) {
	t.Parallel()
	always := corev1.ContainerRestartPolicyAlways
	p := world{annotations: irsa()}.mutate(t, func(p *corev1.Pod) {
		p.Spec.InitContainers = []corev1.Container{{Name: "init"}, {Name: "sidecar", RestartPolicy: &always}}
		p.Spec.EphemeralContainers = []corev1.EphemeralContainer{{EphemeralContainerCommon: corev1.EphemeralContainerCommon{Name: "debug"}}}
	})
	for _, c := range p.Spec.InitContainers {
		wantEnv(t, c, sts, region, wiRole, wiFile)
	}
	if got := p.Spec.EphemeralContainers[0]; len(got.Env) != 0 || len(got.VolumeMounts) != 0 {
		t.Errorf("ephemeral container = %+v, want it untouched", got)
	}
}

func TestRuleExistingPair(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		pi   bool
		have []string
		want []string
	}{
		{"only AWS_ROLE_ARN keeps the token file out", false, []string{"AWS_ROLE_ARN=x"}, []string{"AWS_ROLE_ARN=x", sts, region}},
		{"only the token file keeps the role out", false, []string{"AWS_WEB_IDENTITY_TOKEN_FILE=/x"}, []string{"AWS_WEB_IDENTITY_TOKEN_FILE=/x", sts, region}},
		{"only the URI keeps the token file out", true, []string{"AWS_CONTAINER_CREDENTIALS_FULL_URI=x"}, []string{"AWS_CONTAINER_CREDENTIALS_FULL_URI=x", sts, region}},
		{"only the authorization file keeps the URI out", true, []string{"AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE=/x"}, []string{"AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE=/x", sts, region}},
		{"web identity variables under an association make both", true, []string{"AWS_ROLE_ARN=x", "AWS_WEB_IDENTITY_TOKEN_FILE=/x"},
			[]string{"AWS_ROLE_ARN=x", "AWS_WEB_IDENTITY_TOKEN_FILE=/x", sts, region, piURI, piFile}},
		{"container credentials under an annotation make both", false, []string{"AWS_CONTAINER_CREDENTIALS_FULL_URI=x"},
			[]string{"AWS_CONTAINER_CREDENTIALS_FULL_URI=x", sts, region, wiRole, wiFile}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			p := world{annotations: irsa(), association: test.pi}.mutate(t, func(p *corev1.Pod) { p.Spec.Containers[0].Env = env(test.have...) })
			wantEnv(t, p.Spec.Containers[0], test.want...)
			if len(p.Spec.Containers[0].VolumeMounts) != 1 {
				t.Error("the mount is missing")
			}
		})
	}
}

func TestRulePairIsPerContainer(t *testing.T) {
	t.Parallel()
	p := world{annotations: irsa()}.mutate(t, func(p *corev1.Pod) {
		p.Spec.Containers[0].Env = env("AWS_ROLE_ARN=x")
		p.Spec.Containers = append(p.Spec.Containers, corev1.Container{Name: "side"})
	})
	wantEnv(t, p.Spec.Containers[1], sts, region, wiRole, wiFile)
}

func TestRuleRegion(t *testing.T) {
	t.Parallel()
	for _, have := range []string{"AWS_REGION=us-east-1", "AWS_DEFAULT_REGION=us-east-1"} {
		p := world{annotations: irsa()}.mutate(t, func(p *corev1.Pod) { p.Spec.Containers[0].Env = env(have) })
		wantEnv(t, p.Spec.Containers[0], have, sts, wiRole, wiFile)
	}
}

func TestRuleFullyEquippedIsUntouched(t *testing.T) {
	t.Parallel()
	have := env("AWS_ROLE_ARN=x", "AWS_REGION=us-east-1", "AWS_STS_REGIONAL_ENDPOINTS=legacy")
	p := world{annotations: irsa()}.mutate(t, func(p *corev1.Pod) { p.Spec.Containers[0].Env = have })
	if diff := cmp.Diff(corev1.Container{Name: "main", Env: have}, p.Spec.Containers[0]); diff != "" {
		t.Errorf("container (-want +got):\n%s", diff)
	}
	if len(p.Spec.Volumes) != 1 {
		t.Errorf("%d volumes, want the pod's volume all the same", len(p.Spec.Volumes))
	}
}

func TestRuleEnvFromIsNotInspected(t *testing.T) {
	t.Parallel()
	from := []corev1.EnvFromSource{{SecretRef: &corev1.SecretEnvSource{LocalObjectReference: corev1.LocalObjectReference{Name: "aws"}}}}
	p := world{annotations: irsa()}.mutate(t, func(p *corev1.Pod) { p.Spec.Containers[0].EnvFrom = from })
	wantEnv(t, p.Spec.Containers[0], sts, region, wiRole, wiFile)
}

func TestRuleExistingVolumeIsKept(t *testing.T) {
	t.Parallel()
	for volume, pi := range map[string]bool{"aws-iam-token": false, "eks-pod-identity-token": true} {
		own := corev1.Volume{Name: volume, VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}}
		p := world{annotations: irsa(), association: pi}.mutate(t, func(p *corev1.Pod) { p.Spec.Volumes = []corev1.Volume{own} })
		if diff := cmp.Diff([]corev1.Volume{own}, p.Spec.Volumes); diff != "" {
			t.Errorf("volumes (-want +got):\n%s", diff)
		}
		if len(p.Spec.Containers[0].Env) != 5 || len(p.Spec.Containers[0].VolumeMounts) != 1 {
			t.Errorf("container = %+v, want variables and mount all the same", p.Spec.Containers[0])
		}
	}
}

func TestRuleVolumeComesFirst(t *testing.T) {
	t.Parallel()
	p := world{annotations: irsa()}.mutate(t, func(p *corev1.Pod) { p.Spec.Volumes = []corev1.Volume{{Name: "data"}} })
	if got := []string{p.Spec.Volumes[0].Name, p.Spec.Volumes[1].Name}; got[0] != "aws-iam-token" || got[1] != "data" {
		t.Errorf("volumes = %q, want the token first", got)
	}
}

func TestRuleExistingMountIsKept(t *testing.T) {
	t.Parallel()
	own := corev1.VolumeMount{Name: "aws-iam-token", MountPath: "/elsewhere"}
	p := world{annotations: irsa()}.mutate(t, func(p *corev1.Pod) { p.Spec.Containers[0].VolumeMounts = []corev1.VolumeMount{own} })
	if diff := cmp.Diff([]corev1.VolumeMount{own}, p.Spec.Containers[0].VolumeMounts); diff != "" {
		t.Errorf("mounts (-want +got):\n%s", diff)
	}
	wantEnv(t, p.Spec.Containers[0], sts, region, wiRole, wiFile) // the standard path, which does not exist
}

func TestRuleWindows(t *testing.T) {
	t.Parallel()
	const file = `AWS_WEB_IDENTITY_TOKEN_FILE=C:\var\run\secrets\eks.amazonaws.com\serviceaccount\token`
	for _, label := range []string{"kubernetes.io/os", "beta.kubernetes.io/os"} {
		p := world{annotations: irsa()}.mutate(t, func(p *corev1.Pod) { p.Spec.NodeSelector = map[string]string{label: "windows"} })
		wantEnv(t, p.Spec.Containers[0], sts, region, wiRole, file)
		if got := p.Spec.Containers[0].VolumeMounts[0].MountPath; got != wiDir {
			t.Errorf("mount path = %q, want the Unix one", got)
		}
	}
	p := world{annotations: irsa()}.mutate(t, func(p *corev1.Pod) { p.Spec.OS = &corev1.PodOS{Name: corev1.Windows} })
	wantEnv(t, p.Spec.Containers[0], sts, region, wiRole, wiFile) // spec.os is not looked at
}

func TestRuleObjectSelector(t *testing.T) {
	t.Parallel()
	skip := func(p *corev1.Pod) { p.Labels = map[string]string{SkipWebhookLabel: ""} }
	wantUntouched(t, world{annotations: irsa(), association: true, cfg: Config{ObjectSelector: true}}, skip)
	p := world{annotations: irsa()}.mutate(t, skip) // a webhook object without the selector
	wantEnv(t, p.Spec.Containers[0], sts, region, wiRole, wiFile)
}

func TestRuleInvalidRoleIsInjected(t *testing.T) {
	t.Parallel()
	p := world{annotations: map[string]string{RoleARNAnnotation: "not-an-arn"}}.mutate(t, nil)
	wantEnv(t, p.Spec.Containers[0], sts, region, "AWS_ROLE_ARN=not-an-arn", wiFile)
}

func TestRuleServiceAccountNotCached(t *testing.T) {
	t.Parallel()
	wantUntouched(t, world{cfg: Config{ServiceAccounts: cached{}}}, nil)
	// An association needs no cache entry; the STS variable comes from there, though.
	p := world{association: true, cfg: Config{ServiceAccounts: cached{}}}.mutate(t, nil)
	wantEnv(t, p.Spec.Containers[0], region, piURI, piFile)
}

func TestRuleDownIsIgnored(t *testing.T) {
	t.Parallel()
	wantUntouched(t, world{annotations: irsa(), association: true, cfg: Config{Down: true}}, nil)
}

func TestRuleReinvocationChangesNothing(t *testing.T) {
	t.Parallel()
	for _, pi := range []bool{false, true} {
		w := world{annotations: irsa(), association: pi}
		once := w.mutate(t, nil)
		if diff := cmp.Diff(once, w.mutate(t, func(p *corev1.Pod) { *p = *once.DeepCopy() })); diff != "" {
			t.Errorf("second pass (-once +twice):\n%s", diff)
		}
	}
}
