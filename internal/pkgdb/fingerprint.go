package pkgdb

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
)

// Fingerprint returns equal values for two roots if and only if their package databases
// are byte for byte equal: dpkg's status, its journal with the names of its files,
// apt's marks, and the administrator's diversions and statoverrides. It is a SHA-256 in
// hexadecimal.
//
// It changes while dpkg works, and after dpkg was interrupted.
func Fingerprint(root string) (string, error) {
	dir, err := openRoot(root)
	if err != nil {
		return "", err
	}
	defer dir.close()

	names, err := dir.names(updatesDir)
	if err != nil {
		return "", err
	}
	files := []string{statusFile}
	for _, name := range names {
		files = append(files, updatesDir+"/"+name)
	}
	files = append(files, extendedFile, diversionsFile, "var/lib/dpkg/statoverride")

	sum := sha256.New()
	for _, file := range files {
		content, err := dir.readIfAny(file)
		if err != nil {
			return "", err
		}
		addFile(sum, file, content)
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}

// addFile adds name and contents with their lengths, so that no part of one can count
// for the other. A missing file has length -1.
func addFile(sum hash.Hash, name string, content []byte) {
	length := len(content)
	if content == nil {
		length = -1
	}
	fmt.Fprintf(sum, "%d %s %d\n", len(name), name, length)
	sum.Write(content)
}

// Changed reports whether two root file systems differ in their Fingerprint.
func Changed(before, after string) (bool, error) {
	then, err := Fingerprint(before)
	if err != nil {
		return false, err
	}
	now, err := Fingerprint(after)
	return then != now, err
}
