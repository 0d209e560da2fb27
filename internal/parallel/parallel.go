// Package parallel does many small things on all processors.
package parallel

import (
	"runtime"
	"sync"
	"sync/atomic"
)

// Each calls do for each number below n, several at once, and returns when all
// calls have. After an error no more are begun; of several errors it returns that
// for the least number.
func Each(n int, do func(i int) error) error {
	var (
		begun  atomic.Int64
		failed atomic.Bool
		mutex  sync.Mutex
		first  = n
		err    error
		all    sync.WaitGroup
	)
	for range min(n, runtime.GOMAXPROCS(0)) {
		all.Add(1)
		go func() {
			defer all.Done()
			for !failed.Load() {
				i := int(begun.Add(1)) - 1
				if i >= n {
					return
				}
				if e := do(i); e != nil {
					failed.Store(true)
					mutex.Lock()
					if i < first {
						first, err = i, e
					}
					mutex.Unlock()
				}
			}
		}()
	}
	all.Wait()
	return err
}
