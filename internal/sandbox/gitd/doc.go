// Package gitd makes Git repositories and serves them: a bare repository on disk
// whose commits are the same bytes on every run, because author and time are
// given, and an HTTP server on loopback that lets Git clients clone it, asks for
// a token and records what it was asked.
//
// It speaks the smart protocol by itself, so that a sandbox needs no git binary,
// or through git http-backend, so that tests meet the real thing. It serves
// reads only: whoever wants a commit calls [Repo.Commit]. It listens on loopback
// and nowhere else.
//
// Over ssh, git upload-pack answers behind a server in the same process ([ServeSSH]).
//
// It imports the standard library, go-git and golang.org/x/crypto/ssh; the sandbox and tests may import
// it, shipped rooms may not.
//
//	repo, err := gitd.Init(dir)
//	head, err := repo.Import("main", os.DirFS("examples/fleet"), gitd.By(now))
//	server, err := gitd.Serve(ctx, repo, gitd.Options{Token: "s3cr3t"})
//	// git clone -c http.extraHeader=... $server.URL
package gitd
