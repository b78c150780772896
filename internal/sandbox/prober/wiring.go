package prober

import (
	"net/url"
	"path"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// Mechanism is the source of credentials that an SDK picks in a container.
type Mechanism string

// The mechanisms, in the order in which the SDK picks them.
const (
	Static      Mechanism = "static"       // Keys in variables; nobody is asked.
	WebIdentity Mechanism = "irsa"         // A token for STS.
	Container   Mechanism = "pod-identity" // A token for the node's agent.
	None        Mechanism = "none"         // Nothing was injected.
)

// wiring is what a container was given at admission.
type wiring struct {
	mechanism Mechanism
	roleARN   string // Of web identity.
	endpoint  string // Of container credentials.
	token     tokenSpec
	problem   string // Why the SDK gives up before it asks anybody.
}

// tokenSpec is what the kubelet asks for when it projects a token.
type tokenSpec struct {
	audience string
	seconds  int64
}

// The hosts for which the SDK takes plain http, besides loopback and ECS, which the sandbox
// has no use for.
// Source: aws-sdk-go-v2, config/resolve_credentials.go.
var agentHosts = []string{"169.254.170.23", "fd00:ec2::23"}

// wiringOf reads a container's variables as the SDK for Go does: the first mechanism with
// its variable set is picked for good, whether it works or not. Of two variables of one
// name Kubernetes uses the last.
// Source: aws-sdk-go-v2, config/resolve_credentials.go.
func wiringOf(pod *corev1.Pod, c corev1.Container) wiring {
	env := map[string]string{}
	set := map[string]bool{}
	for _, e := range c.Env {
		env[e.Name], set[e.Name] = e.Value, e.Value != "" || e.ValueFrom != nil
	}
	switch {
	case set["AWS_ACCESS_KEY_ID"] && set["AWS_SECRET_ACCESS_KEY"]:
		return wiring{mechanism: Static}
	case set["AWS_WEB_IDENTITY_TOKEN_FILE"]:
		w := wiring{mechanism: WebIdentity, roleARN: env["AWS_ROLE_ARN"]}
		if w.roleARN == "" {
			w.problem = "role ARN is not set"
			return w
		}
		w.token, w.problem = tokenAt(pod, c, env["AWS_WEB_IDENTITY_TOKEN_FILE"])
		return w
	case set["AWS_CONTAINER_CREDENTIALS_FULL_URI"]:
		w := wiring{mechanism: Container, endpoint: env["AWS_CONTAINER_CREDENTIALS_FULL_URI"]}
		if u, err := url.Parse(w.endpoint); err != nil || !slices.Contains(agentHosts, u.Hostname()) {
			w.problem = "invalid endpoint host of " + w.endpoint
			return w
		}
		w.token, w.problem = tokenAt(pod, c, env["AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"])
		return w
	}
	return wiring{mechanism: None}
}

// tokenAt finds the projected token that a container reads at a path. The problem is what
// reading the file would say.
func tokenAt(pod *corev1.Pod, c corev1.Container, file string) (tokenSpec, string) {
	file, asked := strings.ReplaceAll(strings.TrimPrefix(file, "C:"), `\`, "/"), file // As the webhook writes it for Windows.
	missing := "open " + asked + ": no such file or directory"
	var at corev1.VolumeMount // The innermost mount around the file.
	for _, m := range c.VolumeMounts {
		if inside(file, m.MountPath) && len(m.MountPath) > len(at.MountPath) {
			at = m
		}
	}
	for _, v := range pod.Spec.Volumes {
		if v.Name != at.Name || v.Projected == nil {
			continue
		}
		for _, s := range v.Projected.Sources {
			if t := s.ServiceAccountToken; t != nil && path.Join(at.MountPath, t.Path) == path.Clean(file) {
				spec := tokenSpec{audience: t.Audience, seconds: 3600} // The API server's default.
				if t.ExpirationSeconds != nil {
					spec.seconds = *t.ExpirationSeconds
				}
				return spec, ""
			}
		}
	}
	return tokenSpec{}, missing
}

func inside(file, dir string) bool {
	return strings.HasPrefix(path.Clean(file), path.Clean(dir)+"/")
}

// lasting returns the containers that run as long as their pod: sidecars, which Kubernetes
// counts among the init containers, and the main ones.
// Source: https://kubernetes.io/docs/concepts/workloads/pods/sidecar-containers/
func lasting(pod *corev1.Pod) []corev1.Container {
	var out []corev1.Container
	for _, c := range pod.Spec.InitContainers {
		if c.RestartPolicy != nil && *c.RestartPolicy == corev1.ContainerRestartPolicyAlways {
			out = append(out, c)
		}
	}
	return append(out, pod.Spec.Containers...)
}
