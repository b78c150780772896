package identity

import "strings"

// The words by which everybody tells the identity probe from a workload: its Job and the
// Job's pod run under the workload's ServiceAccount and are none of its own.
const (
	// ProbeLabel is on the Job and on its pod, with [ProbeLabelValue], and on nothing else.
	ProbeLabel      = "lanyard.io/identity-probe"
	ProbeLabelValue = "whoami"
	// ProbePrefix is how the Job's name begins; 16 hexadecimal digits follow.
	ProbePrefix = "lanyard-whoami-"
	// WhoamiAppID is in the user agent of all that lanyard whoami asks AWS.
	// Source: https://docs.aws.amazon.com/sdkref/latest/guide/feature-appid.html
	WhoamiAppID = "lanyard-whoami"
)

// IsProbe reports whether a Job of that name, with those labels on it or on its pods, is
// an identity probe. Both must agree. Whoever makes a Job of his own look like one hides
// it from lanyard and harms nobody else by it.
func IsProbe(job string, labels map[string]string) bool {
	digits, named := strings.CutPrefix(job, ProbePrefix)
	return named && len(digits) == 16 && strings.Trim(digits, "0123456789abcdef") == "" && labels[ProbeLabel] == ProbeLabelValue
}
