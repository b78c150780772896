package migrate

import "slices"

// Code names a reason, a warning or a hold. The lists are closed; each code has a
// paragraph in docs/reasons.md.
type Code string

// The reasons to stay on IRSA: Pod Identity cannot serve the workload.
const (
	Fargate           Code = "fargate"             // no agent can run there
	CrossAccountRole  Code = "cross-account-role"  // an association takes only roles of the cluster's account
	Windows           Code = "windows"             // no agent can run there
	HybridUnsupported Code = "hybrid-unsupported"  // hybrid nodes without the agent's hybrid DaemonSet
	OutsideEKS        Code = "outside-eks"         // a control plane without Pod Identity
	ChainedRole       Code = "chained-role"        // session tags would break the next AssumeRole
	SessionNamePinned Code = "session-name-pinned" // something depends on the session's name
	OIDCKeyInPolicy   Code = "oidc-key-in-policy"  // a permission policy asks for the web identity
	Self              Code = "self"                // lanyard's own ServiceAccount, or the agent's
)

// The reasons that a person can clear.
const (
	AgentAbsent             Code = "agent-absent"
	AgentNotReady           Code = "agent-not-ready"
	AgentStartupRace        Code = "agent-startup-race"
	NodeRoleLacksPermission Code = "node-role-lacks-permission"
	TrustNotAdopted         Code = "trust-not-adopted"
	TrustFull               Code = "trust-full"
	AssociationsFull        Code = "association-quota"
	AssociationForeign      Code = "association-foreign"
	AddonOwned              Code = "addon-owned"
	AnnotationReader        Code = "annotation-reader"
	MixedCompute            Code = "mixed-compute"
	StaticKeys              Code = "static-keys"
	EnvOverride             Code = "env-override"
	VolumeConflict          Code = "volume-conflict"
	ProxyWithoutExemption   Code = "proxy-without-exemption"
	NetworkPolicy           Code = "network-policy"
	SDKTooOld               Code = "sdk-too-old"
	Unrestartable           Code = "unrestartable"
	RestartDisruptive       Code = "restart-disruptive"
	WebhookAbsent           Code = "webhook-absent"
)

// The warnings. [SharedRole] is among the reasons too, where it blocks.
const (
	SharedRole     Code = "shared-role"
	SDKUnknown     Code = "sdk-unknown"
	OptionalUnread Code = "optional-unread" // what optional reads could not show
)

// The holds of an eligible workload: why it does not move now.
const (
	Held           Code = "held"            // migration.hold
	Paused         Code = "paused"          // lanyard.io/pause
	OutsideWindow  Code = "outside-window"  // migration.window
	Concurrency    Code = "concurrency"     // as many as may be are on their way
	OwnerMustAct   Code = "owner-must-act"  // something of others stands in the way
	ProbeRefused   Code = "probe-refused"   // another admission plugin refused the dry run
	ProbeUnguarded Code = "probe-unguarded" // nothing keeps lanyard from making real pods
	NoProof        Code = "no-proof"        // nothing shows that the new mechanism is used
	NoRunYet       Code = "no-run-yet"      // an owner has not made a pod since
	RolledBack     Code = "rolled-back"     // it was tried, and failed
	NotHitless     Code = "not-hitless"     // something must be taken away first
	RemovalBudget  Code = "removal-budget"  // the hour's removals are used up
)

var (
	keeps = []Code{Fargate, CrossAccountRole, Windows, HybridUnsupported, OutsideEKS, ChainedRole, SessionNamePinned, OIDCKeyInPolicy, Self}

	blocks = []Code{AgentAbsent, AgentNotReady, AgentStartupRace, NodeRoleLacksPermission, TrustNotAdopted, TrustFull, AssociationsFull,
		AssociationForeign, AddonOwned, AnnotationReader, MixedCompute, StaticKeys, EnvOverride, VolumeConflict, ProxyWithoutExemption,
		NetworkPolicy, SDKTooOld, Unrestartable, RestartDisruptive, WebhookAbsent}

	warnings = []Code{SharedRole, SDKUnknown, OptionalUnread}

	holds = []Code{Held, Paused, OutsideWindow, Concurrency, OwnerMustAct, ProbeRefused, ProbeUnguarded, NoProof, NoRunYet, RolledBack,
		NotHitless, RemovalBudget}
)

// Keeps returns the reasons to stay on IRSA, in the order of reports.
func Keeps() []Code { return slices.Clone(keeps) }

// Blocks returns the reasons that a person can clear, in the order of reports.
func Blocks() []Code { return slices.Clone(blocks) }

// Warnings returns the warnings, in the order of reports.
func Warnings() []Code { return slices.Clone(warnings) }

// Holds returns the holds, in the order of reports.
func Holds() []Code { return slices.Clone(holds) }

// Keeps reports whether the code keeps a workload on IRSA.
func (c Code) Keeps() bool { return slices.Contains(keeps, c) }

// order is the place of a code in reports.
func (c Code) order() int {
	for at, list := range [][]Code{keeps, blocks, warnings, holds} {
		if i := slices.Index(list, c); i >= 0 {
			return at*100 + i
		}
	}
	return 1000
}
