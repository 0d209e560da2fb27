package txn

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
)

// chain is the checksum of a line of a journal, over that of the line before and
// what it says. The first one follows on the transaction's ID, which is the file's
// name: so no line, and no whole journal, is taken for one of another transaction.
//
// It has no key. Who can write to a journal can read a key beside it, and what a
// line with a right checksum may name is limited by Handler.Check.
type chain [sha256.Size]byte

// ErrTampered says that a journal is not what its transaction has written.
var ErrTampered = errors.New("its checksum does not fit: it is not what the transaction wrote there")

func seed(id string) chain { return sha256.Sum256([]byte("apt-be journal " + id)) }

func (c chain) next(text []byte) chain { return sha256.Sum256(append(c[:len(c):len(c)], text...)) }

// seal returns the line, as the file has it, of which c is the checksum.
func (c chain) seal(text []byte) []byte {
	return append(hex.AppendEncode(append(text, ' '), c[:]), '\n')
}

// open returns what a whole line says that comes after one with the checksum c,
// and its own.
func (c chain) open(sealed []byte) (text []byte, next chain, err error) {
	at := bytes.LastIndexByte(sealed, ' ')
	if at < 0 {
		return nil, c, ErrTampered
	}
	text = sealed[:at]
	next = c.next(text)
	if !bytes.Equal(next.seal(bytes.Clone(text)), sealed) {
		return nil, c, ErrTampered
	}
	return text, next, nil
}
