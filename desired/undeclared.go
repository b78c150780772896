package desired

import (
	"time"

	"github.com/lanyard-io/lanyard/internal/identity"
)

// Undeclared returns the mapping that a ServiceAccount which Git does not name would
// have with every default, if Git asked for what is there and adopted it. It is what
// `lanyard plan` assesses of such a one; nothing is ever written for it.
func Undeclared(s identity.Subject, role identity.RoleARN, m identity.Mechanism) Mapping {
	return Mapping{
		Subject: s, Name: s.ServiceAccount, Role: role, Mechanism: m,
		PodIdentity: PodIdentity{SessionTags: true, Trust: identity.WidthPinned},
		Migration:   Migration{Restart: RestartRolling, Soak: 30 * time.Minute, Proof: ProofCloudTrail, Cleanup: CleanupFull},
		Adopt:       Adopt{Annotation: true, Trust: true, Association: true},
	}
}
