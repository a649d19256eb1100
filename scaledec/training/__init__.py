"""What every training loop needs: sessions, checkpoints, batches, the saved model."""
