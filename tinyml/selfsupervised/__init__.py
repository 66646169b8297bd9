"""Lesson 10.3: learning without labels, from the pretext task to the deployed model.

    masking           hide a part of anything: tokens, patches, spans, edges
    masked_tokens     BERT on a small language, beside the best that any model can do
    masked_patches    MAE: restore three quarters of an image from the rest
    masked_edges      predict the friendships that were hidden from a graph
    augmentations     two views of one image: turn, shift, scale, blot
    contrastive       losses that pull two views together: NT-Xent, InfoNCE
    simclr            the other images of the batch are the negatives
    moco              a queue of earlier images is, encoded by a slow copy
    byol              no negatives at all, and why it does not collapse
    series            sensors over time: synthetic data, files, views
    ts_tcc            predict the future of one view from the past of the other
    downstream        features to labels: a linear probe, neighbours, fine-tuning
    label_efficiency  how many labels features are worth
    deploy            encoder and head in one file, from raw input to probabilities
"""
