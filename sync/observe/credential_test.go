package observe

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	"github.com/lanyard-io/lanyard/sync/live"
)

const (
	webDir   = "/var/run/secrets/eks.amazonaws.com/serviceaccount"
	agentDir = "/var/run/secrets/pods.eks.amazonaws.com/serviceaccount"
	roleText = "arn:aws:iam::123456789012:role/team/s3-reader"
)

func env(pairs ...string) []corev1.EnvVar {
	var out []corev1.EnvVar
	for i := 0; i+1 < len(pairs); i += 2 {
		out = append(out, corev1.EnvVar{Name: pairs[i], Value: pairs[i+1]})
	}
	return out
}

func ref(name string) corev1.EnvVar {
	return corev1.EnvVar{Name: name, ValueFrom: &corev1.EnvVarSource{SecretKeyRef: &corev1.SecretKeySelector{Key: "k"}}}
}

func webEnv() []corev1.EnvVar {
	return env("AWS_ROLE_ARN", roleText, "AWS_WEB_IDENTITY_TOKEN_FILE", webDir+"/token")
}

func agentEnv() []corev1.EnvVar {
	return env("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://169.254.170.23/v1/credentials",
		"AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", agentDir+"/eks-pod-identity-token")
}

func tokenVolume(name, audience, path string, seconds *int64) corev1.Volume {
	return corev1.Volume{Name: name, VolumeSource: corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{Sources: []corev1.VolumeProjection{
		{ServiceAccountToken: &corev1.ServiceAccountTokenProjection{Audience: audience, Path: path, ExpirationSeconds: seconds}},
	}}}}
}

func seconds(n int64) *int64 { return &n }

// injectedSpec is a pod with both volumes and one container with both mounts.
func injectedSpec(vars ...[]corev1.EnvVar) *corev1.PodSpec {
	c := corev1.Container{Name: "app", VolumeMounts: []corev1.VolumeMount{
		{Name: "aws-iam-token", MountPath: webDir}, {Name: "eks-pod-identity-token", MountPath: agentDir},
	}}
	for _, v := range vars {
		c.Env = append(c.Env, v...)
	}
	return &corev1.PodSpec{Containers: []corev1.Container{c}, Volumes: []corev1.Volume{
		tokenVolume("aws-iam-token", "sts.amazonaws.com", "token", seconds(86400)),
		tokenVolume("eks-pod-identity-token", "pods.eks.amazonaws.com", "eks-pod-identity-token", seconds(80000)),
	}}
}

// TestCredential holds the table of domain.md section 2, and what its rules imply.
func TestCredential(t *testing.T) {
	t.Parallel()
	irsa := live.Container{Name: "app", Credential: live.CredentialIRSA, Role: roleText, Audience: "sts.amazonaws.com", TokenSeconds: 86400}
	agent := live.Container{Name: "app", Credential: live.CredentialPodIdentity, Audience: "pods.eks.amazonaws.com", TokenSeconds: 80000}
	change := func(c live.Container, do func(*live.Container)) live.Container { do(&c); return c }
	as := func(c live.Container, kind live.Credential, why string) live.Container {
		return change(c, func(c *live.Container) { c.Credential, c.Why = kind, why })
	}
	none := live.Container{Name: "app", Credential: live.CredentialNone}
	noToken := func(c live.Container, why string) live.Container {
		c = as(c, live.CredentialBroken, why)
		c.Audience, c.TokenSeconds = "", 0
		return c
	}
	const (
		keysFirst    = "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are set, and SDKs take those first"
		mountMissing = "no mounted ServiceAccount token is the file that AWS_WEB_IDENTITY_TOKEN_FILE names"
		agentMissing = "no mounted ServiceAccount token is the file that AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE names"
		overDir      = "a volume is mounted over an AWS profile directory: what it holds is not visible"
		both         = "web identity variables stand beside Pod Identity's, and SDKs take those first"
		elsewhere    = "AWS_CONTAINER_CREDENTIALS_FULL_URI names an endpoint that is not the Pod Identity agent's"
	)
	keys := env("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE", "AWS_SECRET_ACCESS_KEY", "hunter2")
	with := func(do func(*corev1.PodSpec), vars ...[]corev1.EnvVar) *corev1.PodSpec {
		s := injectedSpec(vars...)
		do(s)
		return s
	}
	mount := func(path string) func(*corev1.PodSpec) {
		return func(s *corev1.PodSpec) {
			s.Containers[0].VolumeMounts = append(s.Containers[0].VolumeMounts, corev1.VolumeMount{Name: "home", MountPath: path})
		}
	}
	tests := []struct {
		name string
		spec *corev1.PodSpec
		want live.Container
	}{
		{"nothing", injectedSpec(), none},
		{"web identity", injectedSpec(webEnv()), irsa},
		{"Pod Identity", injectedSpec(agentEnv()), agent},
		{"Pod Identity over IPv6", injectedSpec(agentEnv(), env("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://[fd00:ec2::23]/v1/credentials")), agent},
		{"both", injectedSpec(webEnv(), agentEnv()), as(irsa, live.CredentialBoth, both)},
		{"another audience", with(func(s *corev1.PodSpec) { s.Volumes[0] = tokenVolume("aws-iam-token", "example.com", "token", nil) }, webEnv()),
			change(irsa, func(c *live.Container) { c.Audience, c.TokenSeconds = "example.com", 3600 })},
		{"keys by value", injectedSpec(keys), as(none, live.CredentialStatic, keysFirst)},
		{"keys by reference", injectedSpec([]corev1.EnvVar{ref("AWS_ACCESS_KEY_ID"), ref("AWS_SECRET_ACCESS_KEY")}), as(none, live.CredentialStatic, keysFirst)},
		{"keys before Pod Identity", injectedSpec(keys, agentEnv()), as(agent, live.CredentialStatic, keysFirst)},
		{"keys before web identity", injectedSpec(webEnv(), keys), as(irsa, live.CredentialStatic, keysFirst)},
		{"one key is no key", injectedSpec(env("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE"), webEnv()), irsa},
		{"empty keys are no keys", injectedSpec(env("AWS_ACCESS_KEY_ID", "", "AWS_SECRET_ACCESS_KEY", ""), webEnv()), irsa},
		{"the last duplicate wins: set", injectedSpec(env("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/first"), webEnv()), irsa},
		{"the last duplicate wins: emptied", injectedSpec(keys, env("AWS_SECRET_ACCESS_KEY", ""), agentEnv()), agent},
		{"a profile by name", injectedSpec(env("AWS_PROFILE", "prod"), agentEnv()), as(agent, live.CredentialProfile, "AWS_PROFILE is set: what the profile says is not visible")},
		{"a configuration file", injectedSpec(env("AWS_CONFIG_FILE", "/etc/aws")), as(none, live.CredentialProfile, "AWS_CONFIG_FILE is set: what the profile says is not visible")},
		{"a credentials file by reference", injectedSpec([]corev1.EnvVar{ref("AWS_SHARED_CREDENTIALS_FILE")}), as(none, live.CredentialProfile, "AWS_SHARED_CREDENTIALS_FILE is set: what the profile says is not visible")},
		{"a mount over ~/.aws", with(mount("/root/.aws"), webEnv()), as(irsa, live.CredentialProfile, overDir)},
		{"a mount over ~/.aws/credentials", with(mount("/home/app/.aws/credentials")), as(none, live.CredentialProfile, overDir)},
		{"a mount beside ~/.aws", with(mount("/root/.aws/cli/cache"), webEnv()), irsa},
		{"keys before a profile", with(mount("/root/.aws/"), keys), as(none, live.CredentialStatic, keysFirst)},
		{"web identity without its mount", with(func(s *corev1.PodSpec) { s.Containers[0].VolumeMounts = nil }, webEnv()), noToken(irsa, mountMissing)},
		{"web identity without its volume", with(func(s *corev1.PodSpec) { s.Volumes = s.Volumes[1:] }, webEnv()), noToken(irsa, mountMissing)},
		{"the mount at another path", with(func(s *corev1.PodSpec) { s.Containers[0].VolumeMounts[0].MountPath = "/tokens" }, webEnv()), noToken(irsa, mountMissing)},
		{"the volume is a secret", with(func(s *corev1.PodSpec) {
			s.Volumes[0].VolumeSource = corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: "x"}}
		}, webEnv()), noToken(irsa, mountMissing)},
		{"the token under another name", with(func(s *corev1.PodSpec) { s.Volumes[0] = tokenVolume("aws-iam-token", "sts.amazonaws.com", "jwt", nil) }, webEnv()), noToken(irsa, mountMissing)},
		{"a directory of a similar name", with(func(s *corev1.PodSpec) { s.Containers[0].VolumeMounts[0].MountPath = webDir[:len(webDir)-1] }, webEnv()), noToken(irsa, mountMissing)},
		{"Pod Identity without its mount", with(func(s *corev1.PodSpec) { s.Containers[0].VolumeMounts = nil }, agentEnv()), noToken(agent, agentMissing)},
		{"Pod Identity with a token for others", with(func(s *corev1.PodSpec) {
			s.Volumes[1] = tokenVolume("eks-pod-identity-token", "sts.amazonaws.com", "eks-pod-identity-token", seconds(80000))
		}, agentEnv()), change(as(agent, live.CredentialBroken, "the token that AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE names is not for audience pods.eks.amazonaws.com"), func(c *live.Container) { c.Audience = "sts.amazonaws.com" })},
		{"broken web identity hides good Pod Identity", with(func(s *corev1.PodSpec) { s.Containers[0].VolumeMounts = s.Containers[0].VolumeMounts[1:] }, webEnv(), agentEnv()), noToken(irsa, mountMissing)},
		{"good web identity beside broken Pod Identity", with(func(s *corev1.PodSpec) { s.Containers[0].VolumeMounts = s.Containers[0].VolumeMounts[:1] }, webEnv(), agentEnv()), irsa},
		{"only the role", injectedSpec(env("AWS_ROLE_ARN", roleText)), as(none, live.CredentialBroken, "AWS_ROLE_ARN is set without AWS_WEB_IDENTITY_TOKEN_FILE: the webhook adds neither where one stands")},
		{"only the token file", injectedSpec(env("AWS_WEB_IDENTITY_TOKEN_FILE", "/x")), as(none, live.CredentialBroken, "AWS_WEB_IDENTITY_TOKEN_FILE is set without AWS_ROLE_ARN: the webhook adds neither where one stands")},
		{"only the role, beside Pod Identity", injectedSpec(env("AWS_ROLE_ARN", roleText), agentEnv()), agent},
		{"only the agent's address", injectedSpec(agentEnv()[:1]), as(none, live.CredentialBroken, "AWS_CONTAINER_CREDENTIALS_FULL_URI is set without AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE: the webhook adds neither where one stands")},
		{"only the agent's token", injectedSpec(agentEnv()[1:]), none},
		{"somebody else's endpoint", injectedSpec(agentEnv(), env("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://user:pw@localhost:1/x")), as(none, live.CredentialProfile, elsewhere)},
		{"a host that starts alike", injectedSpec(agentEnv(), env("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://169.254.170.23.example.com/")), as(none, live.CredentialProfile, elsewhere)},
		{"a role by reference", injectedSpec(webEnv()[1:], []corev1.EnvVar{ref("AWS_ROLE_ARN")}),
			change(irsa, func(c *live.Container) { c.Role, c.Why = "", "AWS_ROLE_ARN comes from a reference, which is not read" })},
		{"a role that is none", injectedSpec(webEnv(), env("AWS_ROLE_ARN", "hunter2")),
			change(irsa, func(c *live.Container) { c.Role, c.Why = "", "AWS_ROLE_ARN is not a role ARN" })},
		{"a token file by reference", injectedSpec(webEnv(), []corev1.EnvVar{ref("AWS_WEB_IDENTITY_TOKEN_FILE")}),
			change(irsa, func(c *live.Container) {
				c.Audience, c.TokenSeconds, c.Why = "", 0, "AWS_WEB_IDENTITY_TOKEN_FILE comes from a reference, which is not read"
			})},
		{"the agent's address by reference", injectedSpec(agentEnv()[1:], []corev1.EnvVar{ref("AWS_CONTAINER_CREDENTIALS_FULL_URI")}),
			change(agent, func(c *live.Container) {
				c.Why = "AWS_CONTAINER_CREDENTIALS_FULL_URI comes from a reference, which is not read"
			})},
		{"a mount by subPath", with(func(s *corev1.PodSpec) {
			s.Containers[0].VolumeMounts[0] = corev1.VolumeMount{Name: "aws-iam-token", MountPath: webDir + "/token", SubPath: "token"}
		}, webEnv()), irsa},
		{"a mount by subPathExpr", with(func(s *corev1.PodSpec) {
			s.Containers[0].VolumeMounts[0] = corev1.VolumeMount{Name: "aws-iam-token", MountPath: webDir, SubPathExpr: "$(X)"}
		}, webEnv()), change(irsa, func(c *live.Container) {
			c.Audience, c.TokenSeconds, c.Why = "", 0, "the mount under AWS_WEB_IDENTITY_TOKEN_FILE depends on a variable"
		})},
		{"the deepest mount counts", with(func(s *corev1.PodSpec) {
			s.Containers[0].VolumeMounts = append([]corev1.VolumeMount{{Name: "home", MountPath: "/var/run"}}, s.Containers[0].VolumeMounts...)
		}, webEnv()), irsa},
		{"a deeper mount hides it", with(func(s *corev1.PodSpec) {
			s.Containers[0].VolumeMounts = append([]corev1.VolumeMount{{Name: "home", MountPath: webDir + "/token"}}, s.Containers[0].VolumeMounts...)
		}, webEnv()), noToken(irsa, mountMissing)},
		{"a Windows path over a Unix mount", injectedSpec(webEnv(), env("AWS_WEB_IDENTITY_TOKEN_FILE", `C:\var\run\secrets\eks.amazonaws.com\serviceaccount\token`)), irsa},
		{"envFrom is not guessed at", with(func(s *corev1.PodSpec) {
			s.Containers[0].EnvFrom = []corev1.EnvFromSource{{SecretRef: &corev1.SecretEnvSource{}}}
		}, webEnv()), irsa},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got := credentialsOf(nil, tt.spec)
			if d := cmp.Diff([]live.Container{tt.want}, got); d != "" {
				t.Errorf("credentials (-want +got):\n%s", d)
			}
		})
	}
}

func TestSkippedAndInitContainers(t *testing.T) {
	t.Parallel()
	spec := &corev1.PodSpec{InitContainers: []corev1.Container{{Name: "init"}}, Containers: []corev1.Container{{Name: "app"}, {Name: "log"}}}
	tests := []struct{ annotation, want string }{
		{"", "init! app log"},
		{"app", "init! app- log"},
		{"app,log,init", "init!- app- log-"},
		{"app, log", "init! app- log"}, // not trimmed
		{`"app"`, "init! app- log"},
		{`"app`, "init! app log"}, // does not parse: nothing is skipped
		{"app\nlog", "init! app- log"},
	}
	for _, tt := range tests {
		var got string
		for _, c := range credentialsOf(map[string]string{"eks.amazonaws.com/skip-containers": tt.annotation}, spec) {
			got += " " + c.Name
			if c.Init {
				got += "!"
			}
			if c.Skipped {
				got += "-"
			}
		}
		if got[1:] != tt.want {
			t.Errorf("skip-containers %q: got %q, want %q (! init, - skipped)", tt.annotation, got[1:], tt.want)
		}
	}
}
