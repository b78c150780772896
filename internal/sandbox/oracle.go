package sandbox

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/lanyard-io/lanyard/internal/sandbox/awsd"
)

// Grant is what one container of a pod would get if it asked for credentials now.
type Grant struct {
	Namespace, ServiceAccount, Pod, Container string
	Mechanism                                 string // irsa, pod-identity, or none
	Role                                      string // the role that it would have; empty if it would have none
	Reason                                    string // what decided
}

// Credentials asks, for every container of every running pod, what it would get: the
// oracle by which the sandbox judges lanyard. It goes by what the pod was given at
// admission, in the order of the SDKs (web identity before container credentials).
func (w *World) Credentials(ctx context.Context) ([]Grant, error) {
	pods, err := w.Client("oracle").CoreV1().Pods("").List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, fmt.Errorf("list the sandbox's pods: %w", err)
	}
	var out []Grant
	for _, p := range pods.Items {
		if p.Status.Phase != corev1.PodRunning || p.DeletionTimestamp != nil {
			continue
		}
		out = append(out, w.Grants(&p)...)
	}
	return out, nil
}

// Grants asks what each container of a pod, as admission made it, would get if it asked
// now. The pod need not run: the answer to a dry-run create shows what the next pod of
// a ServiceAccount would get.
func (w *World) Grants(p *corev1.Pod) []Grant {
	out := make([]Grant, 0, len(p.Spec.Containers))
	for _, c := range p.Spec.Containers {
		out = append(out, w.credentials(p, c))
	}
	return out
}

func (w *World) credentials(p *corev1.Pod, c corev1.Container) Grant {
	g := Grant{Namespace: p.Namespace, ServiceAccount: p.Spec.ServiceAccountName, Pod: p.Name, Container: c.Name, Mechanism: "none",
		Reason: "the container has no variables of either mechanism"}
	env := map[string]string{}
	for _, e := range c.Env {
		env[e.Name] = e.Value
	}
	var v awsd.Verdict
	switch {
	case env["AWS_ROLE_ARN"] != "" && env["AWS_WEB_IDENTITY_TOKEN_FILE"] != "":
		g.Mechanism = "irsa"
		v = w.AWS.MayAssumeWebIdentity(env["AWS_ROLE_ARN"], awsd.Claims{
			Issuer:  w.Issuer,
			Subject: "system:serviceaccount:" + p.Namespace + ":" + p.Spec.ServiceAccountName, Audience: []string{audience(p, "aws-iam-token")},
			Expires: w.Clock.Now().Add(time.Hour), Namespace: p.Namespace, ServiceAccount: p.Spec.ServiceAccountName, PodName: p.Name, PodUID: string(p.UID)})
	case env["AWS_CONTAINER_CREDENTIALS_FULL_URI"] != "":
		g.Mechanism = "pod-identity"
		v = w.AWS.MayAssumePodIdentity(w.ARN, p.Namespace, p.Spec.ServiceAccountName, p.Name)
	default:
		return g
	}
	g.Reason = v.Reason
	if v.Allowed {
		g.Role = v.RoleARN
	}
	return g
}

// audience returns the audience of the token in a projected volume.
func audience(p *corev1.Pod, volume string) string {
	for _, v := range p.Spec.Volumes {
		if v.Name != volume || v.Projected == nil {
			continue
		}
		for _, s := range v.Projected.Sources {
			if s.ServiceAccountToken != nil {
				return s.ServiceAccountToken.Audience
			}
		}
	}
	return ""
}
