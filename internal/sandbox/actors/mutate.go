package actors

import (
	"encoding/csv"
	"hash/fnv"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// The names that the webhook knows, as EKS documents them.
//
// https://docs.aws.amazon.com/eks/latest/userguide/pod-id-how-it-works.html
const (
	annotationPrefix = "eks.amazonaws.com/"

	RoleARNAnnotation         = annotationPrefix + "role-arn"
	AudienceAnnotation        = annotationPrefix + "audience"
	RegionalSTSAnnotation     = annotationPrefix + "sts-regional-endpoints"
	TokenExpirationAnnotation = annotationPrefix + "token-expiration"
	SkipContainersAnnotation  = annotationPrefix + "skip-containers"

	// PodIdentityLabel is on pods that the webhook gave Pod Identity's variables.
	PodIdentityLabel = annotationPrefix + "pod-identity"
	// SkipWebhookLabel keeps a pod from the webhook, where its object has the selector.
	SkipWebhookLabel = annotationPrefix + "skip-pod-identity-webhook"

	defaultExpiration = 86_400 // seconds
	jitterFrom        = 79_200
	minExpiration     = 600
)

// Associations is what EKS tells the webhook of Pod Identity associations, as of now.
type Associations interface {
	// Association reports whether the pair has an association.
	Association(namespace, serviceAccount string) (ok bool)
}

// LateAssociations are [Associations] that remember their past. They are asked for what
// was true, and so the delay is exact without a look at every write.
type LateAssociations interface {
	Associations
	// AssociationBefore reports whether the pair had an association as of late ago.
	AssociationBefore(namespace, serviceAccount string, late time.Duration) (ok bool)
}

// ServiceAccounts is the webhook's cache of ServiceAccounts.
type ServiceAccounts interface {
	// ServiceAccount returns a ServiceAccount, or false where the cache has none.
	ServiceAccount(namespace, name string) (*corev1.ServiceAccount, bool)
}

// Config is what a webhook knows at the moment of an admission.
type Config struct {
	// Region is injected where a container names none; empty injects nothing.
	Region string
	// RegionalSTS is the default of the annotation sts-regional-endpoints; EKS has it on.
	RegionalSTS bool
	// Seed varies the jitter of token lifetimes.
	Seed uint64
	// Down says that the webhook does not answer. Its failurePolicy is Ignore.
	Down bool
	// ObjectSelector says that the webhook object skips pods with [SkipWebhookLabel].
	ObjectSelector bool

	Associations    Associations
	ServiceAccounts ServiceAccounts
}

// mechanism is what one of the two ways to credentials adds to a pod.
type mechanism struct {
	volume, mount, file, audience string
	first, second                 string // the variables; the second names the token file
	value                         string // of the first
}

func podIdentity() mechanism {
	return mechanism{
		volume:   "eks-pod-identity-token",
		mount:    "/var/run/secrets/pods.eks.amazonaws.com/serviceaccount",
		file:     "eks-pod-identity-token",
		audience: "pods.eks.amazonaws.com",
		first:    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
		second:   "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
		value:    "http://169.254.170.23/v1/credentials",
	}
}

func webIdentity(roleARN, audience string) mechanism {
	return mechanism{
		volume:   "aws-iam-token",
		mount:    "/var/run/secrets/eks.amazonaws.com/serviceaccount",
		file:     "token",
		audience: audience,
		first:    "AWS_ROLE_ARN",
		second:   "AWS_WEB_IDENTITY_TOKEN_FILE",
		value:    roleARN,
	}
}

// tuning is what annotations on the ServiceAccount change.
type tuning struct {
	roleARN, audience string
	regional          bool
	expiration        int64
}

// Mutate returns the pod as the API server has it after the webhook, and leaves the one
// it was given alone. It is the whole rule, in this order:
//
//  1. a webhook that is down, or a pod the selector skips: unchanged;
//  2. the pair has an association: Pod Identity, whatever the annotations say, even
//     where the ServiceAccount is not in the cache;
//  3. the ServiceAccount is in the cache and names a role: web identity, whether the
//     role's ARN is well formed or not;
//  4. otherwise unchanged.
//
// Sources are the files pkg/handler/handler.go and pkg/cache/cache.go of
// https://github.com/aws/amazon-eks-pod-identity-webhook.
func Mutate(pod *corev1.Pod, cfg Config) *corev1.Pod {
	out := pod.DeepCopy()
	_, skipped := pod.Labels[SkipWebhookLabel]
	if cfg.Down || cfg.ObjectSelector && skipped {
		return out
	}
	ns, name := pod.Namespace, pod.Spec.ServiceAccountName
	t, cached := lookUp(cfg, ns, name)
	switch {
	case cfg.Associations != nil && cfg.Associations.Association(ns, name):
		expiration := podExpiration(pod, t.expiration)
		if expiration == defaultExpiration {
			expiration = jitter(pod, cfg.Seed)
		}
		if out.Labels == nil {
			out.Labels = map[string]string{}
		}
		out.Labels[PodIdentityLabel] = "enabled"
		inject(out, podIdentity(), t.regional, expiration, cfg.Region)
	case cached && t.roleARN != "":
		inject(out, webIdentity(t.roleARN, t.audience), t.regional, podExpiration(pod, t.expiration), cfg.Region)
	}
	return out
}

// lookUp reads the annotations of the ServiceAccount. Without it in the cache the STS
// variable is off, whatever the webhook's default.
func lookUp(cfg Config, namespace, name string) (tuning, bool) {
	t := tuning{expiration: defaultExpiration}
	if cfg.ServiceAccounts == nil {
		return t, false
	}
	sa, ok := cfg.ServiceAccounts.ServiceAccount(namespace, name)
	if !ok {
		return t, false
	}
	t.roleARN = sa.Annotations[RoleARNAnnotation]
	t.audience = "sts.amazonaws.com"
	if a, ok := sa.Annotations[AudienceAnnotation]; ok {
		t.audience = a
	}
	t.regional = cfg.RegionalSTS
	if b, err := strconv.ParseBool(sa.Annotations[RegionalSTSAnnotation]); err == nil {
		t.regional = b
	}
	t.expiration = expiration(sa.Annotations, defaultExpiration)
	return t, true
}

// podExpiration is the token lifetime after the pod's own annotation, which wins.
func podExpiration(pod *corev1.Pod, otherwise int64) int64 {
	return expiration(pod.Annotations, otherwise)
}

// expiration reads the annotation: too small is raised, what is no number is ignored,
// and there is no upper bound.
func expiration(annotations map[string]string, otherwise int64) int64 {
	n, err := strconv.ParseInt(annotations[TokenExpirationAnnotation], 10, 64)
	if err != nil {
		return otherwise
	}
	return max(n, minExpiration)
}

// jitter spreads the default lifetime over its last two hours, by pod and seed.
func jitter(pod *corev1.Pod, seed uint64) int64 {
	h := fnv.New64a()
	for _, s := range []string{strconv.FormatUint(seed, 10), pod.Namespace, pod.Name, pod.GenerateName, string(pod.UID)} {
		h.Write([]byte(s + "\x00"))
	}
	return jitterFrom + int64(h.Sum64()%(defaultExpiration-jitterFrom+1))
}

func inject(pod *corev1.Pod, m mechanism, regional bool, expiration int64, region string) {
	token := path.Join(m.mount, m.file)
	if onWindows(pod) {
		token = "C:" + strings.ReplaceAll(token, "/", `\`)
	}
	skip := skippedContainers(pod)
	for _, list := range [][]corev1.Container{pod.Spec.InitContainers, pod.Spec.Containers} {
		for i := range list {
			if !slices.Contains(skip, list[i].Name) {
				equip(&list[i], m, token, regional, region)
			}
		}
	}
	if slices.ContainsFunc(pod.Spec.Volumes, func(v corev1.Volume) bool { return v.Name == m.volume }) {
		return // kept, whatever its type
	}
	pod.Spec.Volumes = slices.Insert(pod.Spec.Volumes, 0, corev1.Volume{
		Name: m.volume,
		VolumeSource: corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{
			Sources: []corev1.VolumeProjection{{ServiceAccountToken: &corev1.ServiceAccountTokenProjection{
				Audience: m.audience, ExpirationSeconds: &expiration, Path: m.file,
			}}},
		}},
	})
}

// equip adds variables and the mount to one container. Only env is looked at, never
// envFrom; a variable of the mechanism's pair keeps out the other one of the pair, and
// a container that has the pair, a Region and the STS variable is left as it is.
func equip(c *corev1.Container, m mechanism, token string, regional bool, region string) {
	has := func(names ...string) bool {
		return slices.ContainsFunc(c.Env, func(e corev1.EnvVar) bool { return slices.Contains(names, e.Name) })
	}
	hasPair, hasRegion, hasSTS := has(m.first, m.second), has("AWS_REGION", "AWS_DEFAULT_REGION"), has("AWS_STS_REGIONAL_ENDPOINTS")
	if hasPair && hasRegion && hasSTS {
		return
	}
	add := func(name, value string) { c.Env = append(c.Env, corev1.EnvVar{Name: name, Value: value}) }
	if !hasSTS && regional {
		add("AWS_STS_REGIONAL_ENDPOINTS", "regional")
	}
	if !hasRegion && region != "" {
		add("AWS_DEFAULT_REGION", region)
		add("AWS_REGION", region)
	}
	if !hasPair {
		add(m.first, m.value)
		add(m.second, token)
	}
	if !slices.ContainsFunc(c.VolumeMounts, func(v corev1.VolumeMount) bool { return v.Name == m.volume }) {
		c.VolumeMounts = append(c.VolumeMounts, corev1.VolumeMount{Name: m.volume, ReadOnly: true, MountPath: m.mount})
	}
}

// onWindows looks where the webhook looks: at nodeSelector, not at affinity or spec.os.
func onWindows(pod *corev1.Pod) bool {
	s := pod.Spec.NodeSelector
	return s["kubernetes.io/os"] == "windows" || s["beta.kubernetes.io/os"] == "windows"
}

// skippedContainers reads one line of CSV, without trimming spaces. What does not parse
// skips nothing.
func skippedContainers(pod *corev1.Pod) []string {
	line, ok := pod.Annotations[SkipContainersAnnotation]
	if !ok {
		return nil
	}
	names, err := csv.NewReader(strings.NewReader(line)).Read()
	if err != nil {
		return nil
	}
	return names
}
