package prober

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/lanyard-io/lanyard/internal/sandbox/actors"
)

const role = "arn:aws:iam::123456789012:role/reader"

// given is what a webhook knows of demo/s3-reader.
type given struct{ association, annotated bool }

func (g given) Association(string, string) bool { return g.association }

func (g given) ServiceAccount(namespace, name string) (*corev1.ServiceAccount, bool) {
	sa := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
	if g.annotated {
		sa.Annotations = map[string]string{actors.RoleARNAnnotation: role, actors.AudienceAnnotation: "vault"}
	}
	return sa, true
}

func TestWiring(t *testing.T) {
	t.Parallel()
	env := func(pairs ...string) func(*corev1.Pod) {
		return func(p *corev1.Pod) {
			for i := 0; i < len(pairs); i += 2 {
				p.Spec.Containers[0].Env = append(p.Spec.Containers[0].Env, corev1.EnvVar{Name: pairs[i], Value: pairs[i+1]})
			}
		}
	}
	irsa, pi := given{annotated: true}, given{association: true}
	wi := wiring{mechanism: WebIdentity, roleARN: role, token: tokenSpec{"vault", 86_400}}
	cc := wiring{mechanism: Container, endpoint: "http://169.254.170.23/v1/credentials", token: tokenSpec{"pods.eks.amazonaws.com", 86_400}}
	broken := func(w wiring, problem string) wiring { w.token, w.problem = tokenSpec{}, problem; return w }
	const wiFile, ccFile = "/var/run/secrets/eks.amazonaws.com/serviceaccount/token", "/var/run/secrets/pods.eks.amazonaws.com/serviceaccount/eks-pod-identity-token"
	for _, tt := range []struct {
		name   string
		given  given
		before func(*corev1.Pod) // the webhook
		after  func(*corev1.Pod)
		want   wiring
	}{
		{"nothing", given{}, nil, nil, wiring{mechanism: None}},
		{"web identity", irsa, nil, nil, wi},
		{"container credentials", pi, nil, nil, cc},
		{"both: web identity comes first", pi, nil, func(p *corev1.Pod) {
			env("AWS_ROLE_ARN", "x", "AWS_WEB_IDENTITY_TOKEN_FILE", ccFile)(p)
		}, wiring{mechanism: WebIdentity, roleARN: "x", token: cc.token}},
		{"keys come before either", irsa, env("AWS_ACCESS_KEY_ID", "x", "AWS_SECRET_ACCESS_KEY", "y"), nil, wiring{mechanism: Static}},
		{"keys from a Secret", pi, func(p *corev1.Pod) {
			from := &corev1.EnvVarSource{SecretKeyRef: &corev1.SecretKeySelector{Key: "k"}}
			p.Spec.Containers[0].Env = []corev1.EnvVar{{Name: "AWS_ACCESS_KEY_ID", ValueFrom: from}, {Name: "AWS_SECRET_ACCESS_KEY", ValueFrom: from}}
		}, nil, wiring{mechanism: Static}},
		{"half a key is none", irsa, env("AWS_ACCESS_KEY_ID", "x"), nil, wi},
		{"a role without a token file is no web identity", irsa, env("AWS_ROLE_ARN", "x"), nil, wiring{mechanism: None}},
		{"a token file without a role", irsa, env("AWS_WEB_IDENTITY_TOKEN_FILE", "/x"), nil, wiring{mechanism: WebIdentity, problem: "role ARN is not set"}},
		{"of two variables the last counts", irsa, nil, env("AWS_ROLE_ARN", "later"), wiring{mechanism: WebIdentity, roleARN: "later", token: wi.token}},
		{"IPv6", pi, nil, env("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://[fd00:ec2::23]/v1/credentials"),
			wiring{mechanism: Container, endpoint: "http://[fd00:ec2::23]/v1/credentials", token: cc.token}},
		{"another host", pi, nil, env("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://192.0.2.1/x"),
			wiring{mechanism: Container, endpoint: "http://192.0.2.1/x", problem: "invalid endpoint host of http://192.0.2.1/x"}},
		{"a volume of that name was there", irsa, func(p *corev1.Pod) {
			p.Spec.Volumes = []corev1.Volume{{Name: "aws-iam-token", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}}}
		}, nil, broken(wi, "open "+wiFile+": no such file or directory")},
		{"a mount of that name was elsewhere", pi, func(p *corev1.Pod) {
			p.Spec.Containers[0].VolumeMounts = []corev1.VolumeMount{{Name: "eks-pod-identity-token", MountPath: "/elsewhere"}}
		}, nil, broken(cc, "open "+ccFile+": no such file or directory")},
		{"another volume lies over the token", pi, nil, func(p *corev1.Pod) {
			p.Spec.Containers[0].VolumeMounts = append(p.Spec.Containers[0].VolumeMounts, corev1.VolumeMount{Name: "data", MountPath: ccFile[:len(ccFile)-len("/eks-pod-identity-token")] + "/"})
		}, broken(cc, "open "+ccFile+": no such file or directory")},
		{"Windows", irsa, func(p *corev1.Pod) { p.Spec.NodeSelector = map[string]string{"kubernetes.io/os": "windows"} }, nil, wi},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "demo", Name: "p", Annotations: map[string]string{actors.TokenExpirationAnnotation: "86400"}},
				Spec: corev1.PodSpec{ServiceAccountName: "s3-reader", Containers: []corev1.Container{{Name: "main"}}}}
			if tt.before != nil {
				tt.before(pod)
			}
			pod = actors.Mutate(pod, actors.Config{Associations: tt.given, ServiceAccounts: tt.given})
			if tt.after != nil {
				tt.after(pod)
			}
			got := wiringOf(pod, pod.Spec.Containers[0])
			if s := &got.token.seconds; *s > 79_000 { // The webhook's jitter.
				*s = 86_400
			}
			if got != tt.want {
				t.Errorf("got  %+v\nwant %+v", got, tt.want)
			}
		})
	}
}

func TestLastingContainers(t *testing.T) {
	t.Parallel()
	always := corev1.ContainerRestartPolicyAlways
	pod := &corev1.Pod{Spec: corev1.PodSpec{
		InitContainers: []corev1.Container{{Name: "init"}, {Name: "sidecar", RestartPolicy: &always}},
		Containers:     []corev1.Container{{Name: "main"}},
	}}
	got := ""
	for _, c := range lasting(pod) {
		got += c.Name + " "
	}
	if got != "sidecar main " {
		t.Errorf("got %q, want the sidecar and main", got)
	}
}
