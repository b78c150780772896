package actors

import (
	"cmp"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// FargateProfile says which pods run on Fargate: those that any selector matches.
type FargateProfile struct {
	Name      string
	Selectors []FargateSelector
}

// FargateSelector matches a namespace and all of its labels. Both know * and ?.
type FargateSelector struct {
	Namespace string
	Labels    map[string]string
}

// FargateAdmission is EKS's own webhook for Fargate: it gives the pods that a profile
// matches to the Fargate scheduler. DaemonSets' pods stay where they are.
//
// https://docs.aws.amazon.com/eks/latest/userguide/fargate-profile.html
type FargateAdmission struct {
	// Profiles returns the active profiles of the moment.
	Profiles func() []FargateProfile
}

// AdmitPod moves a pod to Fargate where a profile matches: the one that its label names,
// else the first by name.
func (f FargateAdmission) AdmitPod(pod *corev1.Pod) *corev1.Pod {
	if slices.ContainsFunc(pod.OwnerReferences, func(o metav1.OwnerReference) bool { return o.Kind == "DaemonSet" }) {
		return pod
	}
	profiles := slices.SortedFunc(slices.Values(f.Profiles()), func(a, b FargateProfile) int { return cmp.Compare(a.Name, b.Name) })
	for _, p := range profiles {
		if want := pod.Labels[fargateProfile]; want != "" && want != p.Name || !p.matches(pod) {
			continue
		}
		pod = pod.DeepCopy()
		if pod.Labels == nil {
			pod.Labels = map[string]string{}
		}
		pod.Labels[fargateProfile] = p.Name
		pod.Spec.SchedulerName = fargateScheduler
		return pod
	}
	return pod
}

func (p FargateProfile) matches(pod *corev1.Pod) bool {
	return slices.ContainsFunc(p.Selectors, func(s FargateSelector) bool {
		if !glob(s.Namespace, pod.Namespace) {
			return false
		}
		for k, v := range s.Labels {
			found := false
			for pk, pv := range pod.Labels {
				found = found || glob(k, pk) && glob(v, pv)
			}
			if !found {
				return false
			}
		}
		return true
	})
}

// glob knows * for any run of characters and ? for exactly one, and nothing else.
func glob(pattern, s string) bool {
	if pattern == "" {
		return s == ""
	}
	if pattern[0] == '*' {
		return glob(pattern[1:], s) || s != "" && glob(pattern, s[1:])
	}
	return s != "" && (pattern[0] == '?' || pattern[0] == s[0]) && glob(pattern[1:], s[1:])
}

// Admissions is several webhooks, asked in order.
type Admissions []interface {
	AdmitPod(pod *corev1.Pod) *corev1.Pod
}

// AdmitPod passes the pod through all of them.
func (a Admissions) AdmitPod(pod *corev1.Pod) *corev1.Pod {
	for _, w := range a {
		pod = w.AdmitPod(pod)
	}
	return pod
}
