package observe

import (
	"cmp"
	"encoding/csv"
	"net/url"
	"path"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/lanyard-io/lanyard/internal/identity"
	"github.com/lanyard-io/lanyard/sync/live"
)

// The environment variables that decide where an SDK takes credentials from.
// Source: https://docs.aws.amazon.com/sdkref/latest/guide/standardized-credentials.html
const (
	envRole         = "AWS_ROLE_ARN"
	envWebToken     = "AWS_WEB_IDENTITY_TOKEN_FILE"
	envContainerURI = "AWS_CONTAINER_CREDENTIALS_FULL_URI"
	envAgentToken   = "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"
	envKeyID        = "AWS_ACCESS_KEY_ID"
	envSecret       = "AWS_SECRET_ACCESS_KEY"
)

var envProfiles = []string{"AWS_PROFILE", "AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"}

// podIdentityAudience is the audience of tokens that the Pod Identity agent takes.
const podIdentityAudience = "pods.eks.amazonaws.com"

// agentHosts are the link-local addresses of the Pod Identity agent.
// Source: https://docs.aws.amazon.com/eks/latest/userguide/pod-id-how-it-works.html
var agentHosts = []string{"169.254.170.23", "fd00:ec2::23"}

// Given says what each container of an admitted pod was given, as a look tells it of live
// pods. The admission probe judges the pods by it that it asks about.
func Given(p *corev1.Pod) []live.Container { return credentialsOf(p.Annotations, &p.Spec) }

// credentialsOf says what each container of a pod, init containers first, was given at
// admission. Only what is in the spec counts: envFrom is not resolved.
func credentialsOf(annotations map[string]string, spec *corev1.PodSpec) []live.Container {
	skipped := skippedContainers(annotations["eks.amazonaws.com/skip-containers"])
	out := make([]live.Container, 0, len(spec.InitContainers)+len(spec.Containers))
	for i := range spec.InitContainers {
		c := credential(&spec.InitContainers[i], spec.Volumes)
		c.Init = true
		out = append(out, c)
	}
	for i := range spec.Containers {
		out = append(out, credential(&spec.Containers[i], spec.Volumes))
	}
	for i := range out {
		out[i].Skipped = slices.Contains(skipped, out[i].Name)
	}
	return out
}

// skippedContainers reads the annotation as the webhook does: one line of CSV,
// nothing trimmed, and no names at all where it does not parse.
// Source: https://github.com/aws/amazon-eks-pod-identity-webhook, pkg/handler/handler.go.
func skippedContainers(annotation string) []string {
	names, err := csv.NewReader(strings.NewReader(annotation)).Read()
	if err != nil {
		return nil
	}
	return names
}

// credential says where one container takes its credentials from, as the default
// chains of current SDKs decide it: access keys, then profiles as far as they can be
// seen, then web identity, then the container endpoint.
//
// What was injected is told (role, audience, lifetime of the token) even where
// something shadows it, because code may ask for it by name.
func credential(c *corev1.Container, volumes []corev1.Volume) live.Container {
	env := environment(c.Env)
	out := live.Container{Name: c.Name, Credential: live.CredentialNone}
	web := webIdentity(env, c.VolumeMounts, volumes)
	agent := podIdentity(env, c.VolumeMounts, volumes)
	switch {
	case web.given && web.broken == "":
		out.Credential, out.Why = live.CredentialIRSA, web.note
		if agent.given && agent.broken == "" {
			out.Credential, out.Why = live.CredentialBoth, "web identity variables stand beside Pod Identity's, and SDKs take those first"
		}
	case web.given:
		out.Credential, out.Why = live.CredentialBroken, web.broken
	case agent.given && agent.broken == "":
		out.Credential, out.Why = live.CredentialPodIdentity, agent.note
	case agent.given:
		out.Credential, out.Why = live.CredentialBroken, agent.broken
	case agent.elsewhere:
		out.Credential, out.Why = live.CredentialProfile, envContainerURI+" names an endpoint that is not the Pod Identity agent's"
	case web.partial != "" || agent.partial != "":
		out.Credential, out.Why = live.CredentialBroken, cmp.Or(web.partial, agent.partial)
	}
	token := web.token
	if !web.given {
		token = agent.token
	}
	if token != nil {
		out.Audience, out.TokenSeconds = token.Audience, tokenSeconds(token)
	}
	if web.given {
		out.Role = web.role
	}
	shadow(&out, env, c.VolumeMounts)
	return out
}

// shadow corrects the answer where access keys or a profile come before what was injected.
func shadow(out *live.Container, env map[string]variable, mounts []corev1.VolumeMount) {
	if env[envKeyID].set() && env[envSecret].set() {
		out.Credential, out.Why = live.CredentialStatic, envKeyID+" and "+envSecret+" are set, and SDKs take those first"
		return
	}
	for _, name := range envProfiles {
		if env[name].set() {
			out.Credential, out.Why = live.CredentialProfile, name+" is set: what the profile says is not visible"
			return
		}
	}
	if profileMount(mounts) != "" {
		out.Credential, out.Why = live.CredentialProfile, "a volume is mounted over an AWS profile directory: what it holds is not visible"
	}
}

// profileMount returns the path at which a volume hides an AWS profile, if one does.
func profileMount(mounts []corev1.VolumeMount) string {
	for _, m := range mounts {
		if p := slashed(m.MountPath); strings.HasSuffix(p, "/.aws") || strings.HasSuffix(p, "/.aws/config") || strings.HasSuffix(p, "/.aws/credentials") {
			return p
		}
	}
	return ""
}

// variable is one environment variable. Its value leaves this file only as a role's ARN.
type variable struct {
	value  string
	remote bool // from a ConfigMap, Secret or field
}

// set reports whether an SDK would see a value; an empty one counts as not set.
func (v variable) set() bool { return v.value != "" || v.remote }

// environment indexes the variables; of duplicates the last one wins, as in Kubernetes.
func environment(env []corev1.EnvVar) map[string]variable {
	out := make(map[string]variable, len(env))
	for _, e := range env {
		out[e.Name] = variable{value: e.Value, remote: e.ValueFrom != nil}
	}
	return out
}

// injected is what a container has of one mechanism.
type injected struct {
	given     bool   // both variables stand
	partial   string // why one of them alone does nothing
	elsewhere bool   // the endpoint is somebody else's
	broken    string // why it cannot work
	note      string // what could not be seen
	role      string
	token     *corev1.ServiceAccountTokenProjection
}

func webIdentity(env map[string]variable, mounts []corev1.VolumeMount, volumes []corev1.Volume) (in injected) {
	role, file := env[envRole], env[envWebToken]
	switch {
	case !role.set() && !file.set():
		return in
	case !file.set():
		in.partial = envRole + " is set without " + envWebToken + ": the webhook adds neither where one stands"
		return in
	case !role.set():
		in.partial = envWebToken + " is set without " + envRole + ": the webhook adds neither where one stands"
		return in
	}
	in.given = true
	switch arn, err := identity.ParseRoleARN(role.value); {
	case role.remote:
		in.note = envRole + " comes from a reference, which is not read"
	case err != nil:
		in.note = envRole + " is not a role ARN"
	default:
		in.role = arn.String()
	}
	in.find(envWebToken, file, mounts, volumes)
	return in
}

func podIdentity(env map[string]variable, mounts []corev1.VolumeMount, volumes []corev1.Volume) (in injected) {
	endpoint, file := env[envContainerURI], env[envAgentToken]
	switch {
	case !endpoint.set():
		return in // the token file alone is not looked at
	case !endpoint.remote && !slices.Contains(agentHosts, hostOf(endpoint.value)):
		in.elsewhere = true
		return in
	case !file.set():
		in.partial = envContainerURI + " is set without " + envAgentToken + ": the webhook adds neither where one stands"
		return in
	}
	in.given = true
	if endpoint.remote {
		in.note = envContainerURI + " comes from a reference, which is not read"
	}
	in.find(envAgentToken, file, mounts, volumes)
	if in.token != nil && in.token.Audience != podIdentityAudience {
		in.broken = "the token that " + envAgentToken + " names is not for audience " + podIdentityAudience
	}
	return in
}

// find looks for the token that a variable names. A path that cannot be seen counts
// as working: in doubt a mechanism is in use.
func (in *injected) find(name string, file variable, mounts []corev1.VolumeMount, volumes []corev1.Volume) {
	if file.remote {
		in.note = name + " comes from a reference, which is not read"
		return
	}
	token, unseen := tokenAt(slashed(file.value), mounts, volumes)
	switch {
	case unseen:
		in.note = "the mount under " + name + " depends on a variable"
	case token == nil:
		in.broken = "no mounted ServiceAccount token is the file that " + name + " names"
	}
	in.token = token
}

// tokenAt returns the ServiceAccount token that is mounted as a file. The deepest
// mount above the file counts. Unseen says that a mount's subPathExpr hides it.
func tokenAt(file string, mounts []corev1.VolumeMount, volumes []corev1.Volume) (token *corev1.ServiceAccountTokenProjection, unseen bool) {
	var mount *corev1.VolumeMount
	for i := range mounts {
		at := slashed(mounts[i].MountPath)
		if file != at && !strings.HasPrefix(file, strings.TrimSuffix(at, "/")+"/") {
			continue
		}
		if mount == nil || len(at) >= len(slashed(mount.MountPath)) {
			mount = &mounts[i]
		}
	}
	if mount == nil {
		return nil, false
	}
	if mount.SubPathExpr != "" {
		return nil, true
	}
	inside := path.Join(mount.SubPath, strings.TrimPrefix(file, slashed(mount.MountPath)))
	for _, v := range volumes {
		if v.Name != mount.Name || v.Projected == nil {
			continue
		}
		for _, source := range v.Projected.Sources {
			if t := source.ServiceAccountToken; t != nil && path.Clean(t.Path) == strings.TrimPrefix(inside, "/") {
				return t, false
			}
		}
	}
	return nil, false
}

// tokenSeconds is the lifetime asked for; the API server's default is an hour.
// Source: https://kubernetes.io/docs/concepts/storage/projected-volumes/#serviceaccounttoken
func tokenSeconds(t *corev1.ServiceAccountTokenProjection) int {
	if t.ExpirationSeconds == nil {
		return 3600
	}
	return int(*t.ExpirationSeconds)
}

// slashed writes a Windows path as the container's mounts are written.
func slashed(p string) string {
	p = strings.ReplaceAll(p, `\`, "/")
	if len(p) > 1 && p[1] == ':' {
		p = p[2:]
	}
	return path.Clean("/" + p)
}

func hostOf(uri string) string {
	u, err := url.Parse(uri)
	if err != nil {
		return ""
	}
	return u.Hostname()
}
