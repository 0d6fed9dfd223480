// SPDX-License-Identifier: BSD-2-Clause
// The mqueue file system, and queues as open files.
#pragma once

#include <bsd/mqueue.hpp>
#include <vfs/mount.hpp>

namespace lentil {

/// An open queue: what mq_open gives. Reading it as a file tells its state.
class MessageQueueFile;
Result<RefPtr<File>> mqueue_open(RefPtr<MessageQueue> queue, uint32_t flags);
/// nullptr if the file is no queue.
MessageQueue* mqueue_of(File& file);
/// A file system that shows all queues; any number of mounts show the same.
Result<RefPtr<Mount>> mqueue_mount(const MountRequest& request);

} // namespace lentil
