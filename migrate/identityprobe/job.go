package identityprobe

import (
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/lanyard-io/lanyard/internal/identity"
	"github.com/lanyard-io/lanyard/migrate"
)

const (
	deadline  = 300 // seconds, with the time that a node and the image take
	keep      = 300 // seconds that an ended Job stays, if nobody deletes it
	container = "whoami"
	report    = "/dev/termination-log"
)

// Job is the Job of a probe, in every field as ValidatingAdmissionPolicy
// [rights.JobPolicy] demands it. Its pod fits Pod Security's level restricted, has no token
// for the API server, and gets of the cluster what the webhook injects and nothing else.
// No selector of a workload or a Service has its label, and it has no other.
// Source: https://kubernetes.io/docs/concepts/security/pod-security-standards/
func Job(a migrate.IdentityAsk, image string) *batchv1.Job {
	labels := map[string]string{identity.ProbeLabel: identity.ProbeLabelValue}
	return &batchv1.Job{
		ObjectMeta: metav1.ObjectMeta{Namespace: a.Subject.Namespace, Name: a.Job(), Labels: labels},
		Spec: batchv1.JobSpec{
			BackoffLimit:            new(int32(0)),
			ActiveDeadlineSeconds:   new(int64(deadline)),
			TTLSecondsAfterFinished: new(int32(keep)),
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: labels},
				Spec: corev1.PodSpec{
					ServiceAccountName:            a.Subject.ServiceAccount,
					AutomountServiceAccountToken:  new(false),
					EnableServiceLinks:            new(false),
					RestartPolicy:                 corev1.RestartPolicyNever,
					TerminationGracePeriodSeconds: new(int64(0)),
					NodeSelector:                  map[string]string{corev1.LabelOSStable: "linux"},
					SecurityContext: &corev1.PodSecurityContext{
						RunAsNonRoot: new(true), RunAsUser: new(int64(65532)), RunAsGroup: new(int64(65532)), FSGroup: new(int64(65532)),
						SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
					},
					Containers: []corev1.Container{{
						Name:                   container,
						Image:                  image,
						Args:                   []string{"whoami", "-o", "json", "--timeout", "30s", "--to", report},
						TerminationMessagePath: report,
						SecurityContext: &corev1.SecurityContext{
							AllowPrivilegeEscalation: new(false), ReadOnlyRootFilesystem: new(true),
							Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
						},
						Resources: corev1.ResourceRequirements{
							Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("10m"), corev1.ResourceMemory: resource.MustParse("64Mi")},
							Limits:   corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("500m"), corev1.ResourceMemory: resource.MustParse("128Mi")},
						},
					}},
				},
			},
		},
	}
}
