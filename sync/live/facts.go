package live

import (
	"time"

	"github.com/lanyard-io/lanyard/internal/identity"
)

// The head of a snapshot file.
const (
	APIVersion = "lanyard.io/v1alpha1"
	Kind       = "Snapshot"
)

// Facts is one look at a cluster: plain data, the same in memory and in a file of
// `kind: Snapshot`. Lists are sorted by their natural key. What is missing from a
// list is absent, unless a [Gap] says that it could not be read; roles are the
// exception and name their presence, because only those asked for are looked at.
type Facts struct {
	APIVersion string     `json:"apiVersion"`
	Kind       string     `json:"kind"`
	TakenAt    time.Time  `json:"takenAt"`         // when the look began: no fact is older
	ReadAt     time.Time  `json:"readAt,omitzero"` // when it ended: no fact is younger
	Cluster    Cluster    `json:"cluster"`
	GuardRails GuardRails `json:"guardRails,omitzero"`

	Namespaces      []Namespace      `json:"namespaces,omitempty"`
	ServiceAccounts []ServiceAccount `json:"serviceAccounts,omitempty"`
	Workloads       []Workload       `json:"workloads,omitempty"`
	Pods            []Pod            `json:"pods,omitempty"`
	Nodes           []Node           `json:"nodes,omitempty"`
	Webhook         Webhook          `json:"webhook,omitzero"`
	Budgets         []Budget         `json:"podDisruptionBudgets,omitempty"`
	NetworkPolicies []NetworkPolicy  `json:"networkPolicies,omitempty"` // those that bound egress only
	Readers         []Reader         `json:"annotationReaders,omitempty"`

	Associations    []Association    `json:"associations,omitempty"`
	Addons          []Addon          `json:"addons,omitempty"`
	FargateProfiles []FargateProfile `json:"fargateProfiles,omitempty"`
	NodeGroups      []NodeGroup      `json:"nodeGroups,omitempty"`

	Accounts  []Account      `json:"accounts,omitempty"`
	Roles     []Role         `json:"roles,omitempty"`
	Providers []OIDCProvider `json:"oidcProviders,omitempty"`

	Gaps []Gap `json:"gaps,omitempty"`
}

// Cluster is DescribeCluster's answer beside what the API server says of itself.
type Cluster struct {
	Name            string          `json:"name"`
	ARN             string          `json:"arn"`
	Issuer          identity.Issuer `json:"issuer"`                    // DescribeCluster, identity.oidc.issuer
	APIServerIssuer identity.Issuer `json:"apiServerIssuer,omitempty"` // /.well-known/openid-configuration
	Version         string          `json:"version,omitempty"`
	Status          string          `json:"status,omitempty"`
	AutoMode        bool            `json:"autoMode,omitempty"` // computeConfig.enabled
	Hybrid          bool            `json:"hybrid,omitempty"`   // remoteNetworkConfig present
	Outpost         bool            `json:"outpost,omitempty"`  // outpostConfig present
	Caller          string          `json:"caller,omitempty"`   // STS GetCallerIdentity
}

// GuardRails are the operator's rules that were in force when the look was taken,
// so that a report made from a file obeys the same ones.
type GuardRails struct {
	Mode           string      `json:"mode,omitempty"`
	Allow          []AllowRule `json:"allow,omitempty"`
	Protect        []string    `json:"protect,omitempty"`
	Prune          string      `json:"prune,omitempty"`
	OrganizationID string      `json:"organizationID,omitempty"`
}

// AllowRule is one rule of the configuration's allow list.
type AllowRule struct {
	Namespaces []string `json:"namespaces,omitempty"`
	Roles      []string `json:"roles,omitempty"`
}

// Namespace is a Kubernetes namespace.
type Namespace struct {
	Name        string `json:"name"`
	Terminating bool   `json:"terminating,omitempty"`
	Pause       string `json:"pause,omitempty"` // annotation lanyard.io/pause
}

// ServiceAccount is a Kubernetes ServiceAccount, trimmed to its wiring.
type ServiceAccount struct {
	Namespace       string            `json:"namespace"`
	Name            string            `json:"name"`
	UID             string            `json:"uid,omitempty"`
	ResourceVersion string            `json:"resourceVersion,omitempty"`
	CreatedAt       time.Time         `json:"createdAt,omitzero"`
	Terminating     bool              `json:"terminating,omitempty"`
	Annotations     map[string]string `json:"annotations,omitempty"` // eks.amazonaws.com/* and lanyard.io/* only
	Managers        []FieldManager    `json:"managers,omitempty"`    // who owns those annotations
	Tool            string            `json:"tool,omitempty"`        // Helm, Argo CD, Flux, ... as recognised by labels and annotations
}

// FieldManager is one entry of managedFields that owns an annotation.
// Source: https://kubernetes.io/docs/reference/using-api/server-side-apply/#field-management
type FieldManager struct {
	Annotation string    `json:"annotation"`
	Manager    string    `json:"manager"`
	Operation  string    `json:"operation,omitempty"` // Apply or Update
	Time       time.Time `json:"time,omitzero"`
}

// WorkloadRef names the object that makes pods.
type WorkloadRef struct {
	Kind string `json:"kind"`
	Name string `json:"name"`
}

// String returns "Deployment web".
func (r WorkloadRef) String() string { return r.Kind + " " + r.Name }

// RestartedAtAnnotation is what kubectl rollout restart sets on a pod template, and
// RolloutPausedMark what lanyard sets on a workload whose rollout it stopped.
// Source: k8s.io/kubectl, pkg/polymorphichelpers/objectrestarter.go.
const (
	RestartedAtAnnotation = "kubectl.kubernetes.io/restartedAt"
	RolloutPausedMark     = "lanyard.io/rollout-paused"
)

// Workload is an object with a pod template: Deployment, StatefulSet, DaemonSet,
// Job, CronJob, a ReplicaSet of nobody's, an Argo Rollout.
type Workload struct {
	Namespace      string            `json:"namespace"`
	Kind           string            `json:"kind"`
	Name           string            `json:"name"`
	UID            string            `json:"uid,omitempty"`
	ServiceAccount string            `json:"serviceAccount"`
	Replicas       int               `json:"replicas"`
	Suspended      bool              `json:"suspended,omitempty"`       // its controller makes (CronJob, Job suspend) or replaces (Deployment, Rollout paused; OnDelete; a partition above all pods) nothing by itself
	Rolling        bool              `json:"rolling,omitempty"`         // in the middle of a rollout, or stopped there by a pause: not all of its pods have its template. Where pods are replaced only when somebody deletes them, no rollout ever is
	RestartedAt    string            `json:"restartedAt,omitempty"`     // kubectl.kubernetes.io/restartedAt of its template, as it stands; spec.restartAt of an Argo Rollout
	PausedBy       string            `json:"pausedByLanyard,omitempty"` // lanyard.io/rollout-paused: lanyard stopped its rollout, with what stood before
	Done           bool              `json:"done,omitempty"`            // a Job that completed or failed: it makes no more pods
	Owner          WorkloadRef       `json:"owner,omitzero"`            // a Job's CronJob
	PodLabels      map[string]string `json:"podLabels,omitempty"`
	NodeSelector   map[string]string `json:"nodeSelector,omitempty"`
	NodeAffinity   []NodeTerm        `json:"nodeAffinity,omitempty"` // required during scheduling; the terms are alternatives
	Tolerations    []Toleration      `json:"tolerations,omitempty"`
	OS             string            `json:"os,omitempty"` // linux or windows, from spec.os or the node selector
	Scheduler      string            `json:"scheduler,omitempty"`
	HostNetwork    bool              `json:"hostNetwork,omitempty"`
	Strategy       Strategy          `json:"strategy,omitzero"`
	Containers     []Template        `json:"containers,omitempty"`            // init containers first
	TokenConflict  string            `json:"tokenConflict,omitempty"`         // what stands where the webhook would put Pod Identity's token
	SecretClasses  []string          `json:"secretProviderClasses,omitempty"` // that a volume of the Secrets Store CSI driver names
	Claims         []string          `json:"claims,omitempty"`                // PersistentVolumeClaims; those of a StatefulSet's templates end in *
}

// Credential is where a container really gets its AWS credentials from, by its
// admitted spec (domain.md section 2).
type Credential string

// The answers of domain.md section 2.
const (
	CredentialPodIdentity Credential = "pod-identity"
	CredentialIRSA        Credential = "irsa"
	CredentialBoth        Credential = "both"    // web identity variables by hand: the SDKs take those
	CredentialStatic      Credential = "static"  // access keys in the environment
	CredentialProfile     Credential = "profile" // a mounted or named AWS profile
	CredentialBroken      Credential = "broken"  // variables without the token's mount
	CredentialNone        Credential = "none"    // the node's role, or nothing
)

var credentials = []Credential{CredentialPodIdentity, CredentialIRSA, CredentialBoth, CredentialStatic,
	CredentialProfile, CredentialBroken, CredentialNone}

// UnmarshalText reads the word. An unknown one is refused: it would read as a
// container that uses neither mechanism.
func (c *Credential) UnmarshalText(b []byte) error { return word(c, b, "credential", credentials) }

// Trouble is why a pod is not what it is to be, as far as its status tells.
type Trouble string

// The troubles. Of several the first of this list counts: only a crash may come from
// what a pod was given at admission.
const (
	TroubleNone          Trouble = ""
	TroubleNode          Trouble = "node"          // its node is lost, is going, or evicted it
	TroubleUnschedulable Trouble = "unschedulable" // PodScheduled is False
	TroubleImage         Trouble = "image-pull"    // an image that cannot be had
	TroubleConfig        Trouble = "config"        // a container that cannot be made as it is asked for, or that has too little memory
	TroubleCrash         Trouble = "crash-loop"    // a container that ended in failure and is started again
)

var troubles = []Trouble{TroubleNone, TroubleNode, TroubleUnschedulable, TroubleImage, TroubleConfig, TroubleCrash}

// UnmarshalText reads the word, which must be one of the list.
func (t *Trouble) UnmarshalText(b []byte) error { return word(t, b, "trouble", troubles) }

// Pod is a pod, trimmed to its wiring.
type Pod struct {
	Namespace      string            `json:"namespace"`
	Name           string            `json:"name"`
	UID            string            `json:"uid,omitempty"`
	ServiceAccount string            `json:"serviceAccount"`
	Node           string            `json:"node,omitempty"`
	Owner          WorkloadRef       `json:"owner,omitzero"` // the Deployment behind a ReplicaSet; zero for a bare pod
	CreatedAt      time.Time         `json:"createdAt"`
	Phase          string            `json:"phase"` // Pending, Running, Succeeded, Failed, Unknown
	Ready          bool              `json:"ready,omitempty"`
	ReadyAt        time.Time         `json:"readyAt,omitzero"`   // since when, where it is Ready
	Restarts       int               `json:"restarts,omitempty"` // of the container that was restarted most
	Trouble        Trouble           `json:"trouble,omitempty"`
	Terminating    bool              `json:"terminating,omitempty"`
	Fargate        bool              `json:"fargate,omitempty"` // by scheduler, label or node
	Windows        bool              `json:"windows,omitempty"` // by spec.os, node selector or node
	HostNetwork    bool              `json:"hostNetwork,omitempty"`
	Labels         map[string]string `json:"labels,omitempty"` // eks.amazonaws.com/* only
	Containers     []Container       `json:"containers"`
}

// Container is what one container was given at admission.
type Container struct {
	Name         string     `json:"name"`
	Init         bool       `json:"init,omitempty"`
	Skipped      bool       `json:"skipped,omitempty"` // named by eks.amazonaws.com/skip-containers
	Credential   Credential `json:"credential"`
	Role         string     `json:"role,omitempty"`     // AWS_ROLE_ARN as admitted
	Audience     string     `json:"audience,omitempty"` // of the token that is mounted
	TokenSeconds int        `json:"tokenSeconds,omitempty"`
	Why          string     `json:"why,omitempty"` // what is broken, or what shadows the mechanism
}

// Node is a node, with what decides whether Pod Identity is served on it.
type Node struct {
	Name          string    `json:"name"`
	ComputeType   string    `json:"computeType,omitempty"` // ec2 (default), fargate, auto, hybrid
	OS            string    `json:"os,omitempty"`
	CreatedAt     time.Time `json:"createdAt,omitzero"`
	Ready         bool      `json:"ready,omitempty"`
	Unschedulable bool      `json:"unschedulable,omitempty"`
	AgentReady    bool      `json:"agentReady,omitempty"` // a Ready eks-pod-identity-agent pod, or compute type auto

	Labels map[string]string `json:"labels,omitempty"`
	Taints []Taint           `json:"taints,omitempty"`
}

// Webhook is the MutatingWebhookConfiguration pod-identity-webhook.
type Webhook struct {
	Present       bool   `json:"present"`
	FailurePolicy string `json:"failurePolicy,omitempty"`
}

// Association is an EKS Pod Identity association. ListPodIdentityAssociations
// tells only its key, ID and owner; Described is false where the rest could not be read.
// Source: https://docs.aws.amazon.com/eks/latest/APIReference/API_PodIdentityAssociationSummary.html
type Association struct {
	Namespace      string            `json:"namespace"`
	ServiceAccount string            `json:"serviceAccount"`
	ID             string            `json:"id"`
	ARN            string            `json:"arn,omitempty"`
	OwnerARN       string            `json:"ownerARN,omitempty"` // an EKS add-on's
	Described      bool              `json:"described"`
	Role           identity.RoleARN  `json:"role,omitzero"`
	TargetRole     identity.RoleARN  `json:"targetRole,omitzero"`
	ExternalID     string            `json:"externalID,omitempty"`
	SessionTagsOff bool              `json:"sessionTagsOff,omitempty"` // disableSessionTags
	SessionPolicy  string            `json:"sessionPolicy,omitempty"`
	Tags           map[string]string `json:"tags,omitempty"`
	CreatedAt      time.Time         `json:"createdAt,omitzero"`
	ModifiedAt     time.Time         `json:"modifiedAt,omitzero"`
}

// Addon is an EKS add-on.
type Addon struct {
	Name               string   `json:"name"`
	Version            string   `json:"version,omitempty"`
	Status             string   `json:"status,omitempty"`
	ServiceAccountRole string   `json:"serviceAccountRoleARN,omitempty"`
	Associations       []string `json:"podIdentityAssociations,omitempty"` // ARNs
	Described          bool     `json:"described"`
}

// FargateProfile is an EKS Fargate profile.
type FargateProfile struct {
	Name      string            `json:"name"`
	Status    string            `json:"status,omitempty"`
	Selectors []FargateSelector `json:"selectors,omitempty"`
	Described bool              `json:"described"`
}

// FargateSelector is one selector of a Fargate profile; `*` and `?` are wildcards.
type FargateSelector struct {
	Namespace string            `json:"namespace"`
	Labels    map[string]string `json:"labels,omitempty"`
}

// NodeGroup is an EKS managed node group; its nodes bear the label
// eks.amazonaws.com/nodegroup.
type NodeGroup struct {
	Name      string           `json:"name"`
	Role      identity.RoleARN `json:"nodeRoleARN,omitzero"`
	Described bool             `json:"described"`
}

// Account is what concerns a whole AWS account.
type Account struct {
	ID                string `json:"id"`
	TrustSizeQuota    int    `json:"trustSizeQuota,omitempty"`    // characters; GetAccountSummary, AssumeRolePolicySizeQuota
	Roles             int    `json:"roles,omitempty"`             // GetAccountSummary
	IdentityProviders int    `json:"identityProviders,omitempty"` // OIDC and SAML together; GetAccountSummary, Providers
	RolesListed       bool   `json:"rolesListed,omitempty"`       // every role that lets the cluster's issuer or Pod Identity in is told, named or not
	ProvidersListed   bool   `json:"providersListed,omitempty"`   // every OIDC provider is told
}

// Role is an IAM role that was asked for.
type Role struct {
	ARN               identity.RoleARN  `json:"arn"`
	Presence          Presence          `json:"presence"`
	TrustPolicy       string            `json:"trustPolicy,omitempty"` // the document's text, URL-decoded, as IAM keeps it
	MaxSessionSeconds int               `json:"maxSessionSeconds,omitempty"`
	Tags              map[string]string `json:"tags,omitempty"` // absent where the read was ListRoles, which omits them
	CreatedAt         time.Time         `json:"createdAt,omitzero"`
	DetailsRead       bool              `json:"detailsRead,omitempty"`         // its tags, boundary and last use are told; ListRoles omits them
	Boundary          string            `json:"permissionsBoundary,omitempty"` // the policy's ARN
	LastUsedAt        time.Time         `json:"lastUsedAt,omitzero"`           // of the trailing 400 days
	LastUsedRegion    string            `json:"lastUsedRegion,omitempty"`
	PoliciesRead      bool              `json:"policiesRead,omitempty"` // its permission policies are told below
	Policies          []Policy          `json:"policies,omitempty"`     // inline and managed, by name
}

// OIDCProvider is an IAM OpenID Connect provider.
type OIDCProvider struct {
	ARN       string   `json:"arn"`
	Account   string   `json:"account"`
	URL       string   `json:"url,omitempty"`
	ClientIDs []string `json:"clientIDs,omitempty"`
	Described bool     `json:"described"`
}
