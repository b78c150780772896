package awsd

// Verdict answers whether credentials would be had, and for which role.
type Verdict struct {
	Allowed bool
	RoleARN string // The role in the end, such as an association's target.
	Code    string // The error that the pod would see; empty if allowed.
	Reason  string // What decided, for people; AWS tells its callers less.
}

func refuse(err *apiError) Verdict {
	reason := err.why
	if reason == "" {
		reason = err.message
	}
	return Verdict{Code: err.code, Reason: reason}
}

// MayAssumeWebIdentity says whether a pod with a token of these claims would now get
// credentials for the role from STS. Claims without Expires do not expire, and Subject is
// made from Namespace and ServiceAccount if empty. The question leaves no record and meets
// no faults.
func (s *Server) MayAssumeWebIdentity(roleARN string, c Claims) Verdict {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.clock.Now()
	if !c.Expires.IsZero() && !now.Before(c.Expires) {
		return refuse(errTokenExpired(c, now))
	}
	role, err := s.webIdentity(roleARN, c, "oracle", now)
	if err != nil {
		return refuse(err)
	}
	return Verdict{Allowed: true, RoleARN: role.ARN, Reason: "STS hands out credentials"}
}

// MayAssumePodIdentity says whether a pod of the ServiceAccount would now get credentials
// from EKS Auth, through the association that EKS Auth sees by now. The question leaves no
// record and meets no faults.
func (s *Server) MayAssumePodIdentity(clusterARN, namespace, serviceAccount, pod string) Verdict {
	s.mu.Lock()
	defer s.mu.Unlock()
	st, err := s.mustCluster(clusterARN)
	if err != nil {
		return Verdict{Code: "ResourceNotFoundException", Reason: err.Error()}
	}
	claims := Claims{Namespace: namespace, ServiceAccount: serviceAccount, PodName: pod, PodUID: uuidOf(namespace + "/" + pod)}
	ps, _, refused := s.credentialsForPod(st, claims, s.clock.Now())
	if refused != nil {
		return refuse(refused)
	}
	return Verdict{Allowed: true, RoleARN: ps.role.ARN, Reason: "EKS Auth hands out credentials"}
}
