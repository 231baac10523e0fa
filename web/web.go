// Package web holds the web pages that the program serves. Their source is in
// src; build.sh makes dist from it, which is committed and embedded.
package web

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"io/fs"
)

//go:embed dist
var dist embed.FS

// Dist is the tree of static files: pages, scripts, styles and the licences of
// what others wrote.
func Dist() fs.FS {
	sub, err := fs.Sub(dist, "dist")
	if err != nil {
		// fs.Sub fails only for a malformed name, and this one is fixed.
		panic(err)
	}
	return sub
}

// Version changes whenever a file of Dist does.
func Version() string {
	sum := sha256.New()
	err := fs.WalkDir(dist, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := dist.ReadFile(name)
		_, _ = fmt.Fprintf(sum, "%q %d\n%s", name, len(text), text)
		return err
	})
	if err != nil {
		// The files are part of the program.
		panic(err)
	}
	return hex.EncodeToString(sum.Sum(nil)[:16])
}
