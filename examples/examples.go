// Package examples embeds lanyard's example fleet, its live world and an operator's
// configuration for it, so that the sandbox runs from the binary alone. It reads
// nothing and decides nothing. Only the command line and tests import it.
package examples

import (
	"embed"
	"io/fs"
)

//go:embed fleet
var fleet embed.FS

// Live is the live world of the fleet, a file of kind Snapshot.
//
//go:embed live.yaml
var Live []byte

// Configuration is an operator's configuration for the fleet's cluster.
//
//go:embed lanyard.yaml
var Configuration []byte

// Fleet returns the files of the fleet repository.
func Fleet() fs.FS {
	sub, err := fs.Sub(fleet, "fleet")
	if err != nil {
		panic("examples: " + err.Error()) // the directory is embedded
	}
	return sub
}
