// SPDX-License-Identifier: BSD-2-Clause
// Terminals: a line discipline between a device and its readers and writers, job control, window size. The console is
// one; ptys (bsd/pty.hpp) are others.
#pragma once

#include <bsd/file.hpp>
#include <bsd/proc.hpp>
#include <bsd/tty_ldisc.hpp>

namespace lentil {

/// What the master of a pty in packet mode hears of its slave (TIOCPKT), Linux values.
namespace packet_status {
inline constexpr uint8_t flush_read = 1, flush_write = 2, stop = 4, start = 8, no_stop = 16, do_stop = 32, ioctl = 64;
}

/// Who asks: a process at the terminal, who is subject to job control, or the master of a pty.
enum class TtySide : uint32_t { slave, master };

/// One terminal. Input arrives from interrupts; readers and writers block. The console lives for ever.
class Tty : public PolymorphicRefCounted<Tty> {
public:
    /// Sends bytes to the device; callable from interrupts (echo).
    using Output = TtyOutput::Write;
    Tty(const char* name, uint64_t device_number) : name_(name), device_number_(device_number) {}
    Tty(const Tty&) = delete;
    Tty& operator=(const Tty&) = delete;
    virtual ~Tty() = default;
    void dispose() override {}

    /// One more, one less open file (not the master's). io: it cannot be opened now.
    virtual Result<void> use() { return {}; }
    virtual void unuse() {}

    /// Where output goes from now on; until then it is thrown away.
    void attach(Output output, void* device);
    /// Bytes from the device: editing, echo, signals. Interrupt context or any other.
    void input(std::string_view bytes);

    /// Job control first: io, restart_sys after SIGTTIN or SIGTTOU. again if nonblocking, 0 bytes for the end of file.
    Result<size_t> read(Uio& uio, bool nonblocking);
    Result<size_t> write(Uio& uio, bool nonblocking);
    /// Linux's TC* and TIOC* commands; notty for others.
    Result<uint64_t> ioctl(uint32_t command, uint64_t argument, TtySide side = TtySide::slave);
    uint32_t poll(uint32_t events, PollTable* table);

    const char* name() const { return name_; }
    virtual uint64_t device_number() const { return device_number_; }

    /// open(2) with `open_flags` by a session leader that has no terminal: it becomes its controlling terminal, unless it
    /// is another session's or O_NOCTTY was given.
    void opened(uint32_t open_flags);
    /// The same for a proc that did not open it itself. proc_tree_lock held.
    void opened_by_locked(Proc& proc);
    /// Whether it is some session's controlling terminal. No lock held.
    bool is_taken() const {
        ProcTreeGuard tree(proc_tree_lock);
        return session.get() != nullptr;
    }
    /// The session leader ended, or gave the terminal up: SIGHUP and SIGCONT to the foreground group, no session any more.
    /// proc_tree_lock held.
    void disassociate_locked();
    /// The line is gone: SIGHUP and SIGCONT to the session's leader, no session any more, an end for all who wait. From
    /// then on reads find the end of the file, all else gives io. No lock held.
    void hang_up();

    /// For /proc/PID/stat: the foreground group of the terminal, 0 if there is none. proc_tree_lock held.
    pid_t foreground_id_locked() const { return foreground ? foreground->id : 0; }

    // t: proc_tree_lock
    RefPtr<Session> session;         ///< t; whose controlling terminal it is
    RefPtr<ProcessGroup> foreground; ///< t

protected:
    // What a pty does where a device has nothing to do. No lock held, except where it says so.
    /// Bytes of output that find a place now, with a margin for echo.
    virtual size_t output_room() { return SIZE_MAX; }
    virtual void flush_output() {}       ///< what was written and not yet read by the master
    virtual void input_taken() {}        ///< readers made room
    virtual void tell_master(uint8_t) {} ///< packet_status
    size_t input_room() const {
        SpinGuard<Rank::tty_spin> guard(lock_);
        return line_.room();
    }
    /// A process that waits to write looks again: output_room grew.
    void output_moved() { write_waitq_.wake_all(); }
    bool is_hung_up() const { return hung_up_.load(std::memory_order_acquire) != 0; }
    void signal_foreground(int signo);
    void drop_session_locked();

    WindowSize window_; ///< with lock_, but in constructors

private:
    enum class Admission : uint32_t { granted, end_of_file };
    Result<Admission> admit(int signo);
    Result<void> admit_change(TtySide side);
    bool is_controlling_locked(const Proc& proc) const;
    Result<size_t> read_line(Uio& uio, bool nonblocking);
    Result<size_t> read_raw(Uio& uio, bool nonblocking);
    Result<LineDiscipline::Taken> move_out(Uio& uio);
    bool ready(size_t least) const;

    Result<void> set_termios(uint32_t command, vaddr_t from, TtySide side);
    Result<void> set_window(vaddr_t from);
    Result<void> make_controlling(uint64_t steal);
    Result<void> give_up_controlling();
    Result<void> set_foreground(vaddr_t from, TtySide side);
    Result<void> flow(uint64_t action, TtySide side);
    void flush_input();

    const char* const name_;
    const uint64_t device_number_;
    mutable SpinLock<Rank::tty_spin> lock_; ///< the line discipline, window and device
    Mutex<Rank::tty> output_lock_;          ///< pieces of writers do not mix
    Output output_ = nullptr;
    void* device_ = nullptr;
    LineDiscipline line_;
    Waitq read_waitq_, write_waitq_;
    std::atomic<uint32_t> hung_up_{0};
};

/// The end of a session's leader: its controlling terminal, if any, is disassociated. proc_tree_lock held.
void session_leader_ends_locked(Session& session);

/// Makes the console's terminal. Once, at boot, before anything else here.
void tty_init();
/// The system console's terminal.
Tty& console_tty();
/// The controlling terminal of the current proc, or nullptr: what /dev/tty means.
RefPtr<Tty> current_tty();

} // namespace lentil
